//! The table of keys as the files that people read: the manual page and the default configuration. The Markdown page
//! is [`keys::reference`](super::keys::reference). A test holds all three against the source tree.

use super::keys::{self, Absent, GROUPS, KEYS, Key};

/// Columns of comments in the default configuration.
const WIDTH: usize = 96;

/// Every file that follows from the table, by its path from the root of the source tree.
pub fn files() -> [(&'static str, String); 3] {
    [
        ("docs/config.md", keys::reference()),
        ("packaging/man/edged.toml.5", man_page()),
        ("packaging/edged.toml", default_file()),
    ]
}

/// `edged.toml(5)`.
pub fn man_page() -> String {
    let mut page = format!(
        ".TH edged.toml 5 \"\" \"edged {}\" \"edged\"\n.SH NAME\nedged.toml \\- configuration of edged\n\
         .SH SYNOPSIS\n.I /etc/edged/edged.toml\n.br\n.I /etc/edged/edged.toml.d/*.toml\n.SH DESCRIPTION\n{}",
        env!("CARGO_PKG_VERSION"),
        paragraphs(INTRODUCTION),
    );
    let mut section = None;
    for key in KEYS {
        let (table, name) = parts(key);
        if section != Some(table) {
            let title = if table.is_empty() { "TOP LEVEL".into() } else { format!("[{table}]") };
            page.push_str(&format!(".SH {title}\n"));
            section = Some(table);
        }
        man_key(&mut page, key, name);
    }
    for group in GROUPS {
        page.push_str(&format!(".SH [[{}]]\n{}\n.PP\n.nf\n", group.name, roff(group.meaning)));
        group.example.lines().for_each(|line| page.push_str(&format!("{}\n", roff(line))));
        page.push_str(".fi\n");
        group.keys.iter().for_each(|key| man_key(&mut page, key, key.path));
    }
    page.push_str(
        ".SH FILES\n.TP\n.I /etc/edged/keys.d/*.pub\ntrusted minisign keys\n.SH SEE ALSO\n.BR edgectl (1),\n\
         .BR edged\\-bundle (5),\n.BR edged\\-dbus (7),\n.BR edged\\-mqtt (7),\n.BR edged (8)\n",
    );
    page
}

fn man_key(page: &mut String, key: &Key, name: &str) {
    let live = if key.reload { " (live)" } else { "" };
    page.push_str(&format!(".TP\n.B {}{live}\n{}\n", roff(name), roff(key.meaning)));
    page.push_str(&format!("Takes {}.\n{}.\n", roff(&key.kind.accepts()), roff(&default_words(key.absent))));
}

const INTRODUCTION: [&str; 3] = [
    "The main file is read first, then the files of the directory in name order; a later value of the same key wins. An \
     absent file is an empty one, and every key has a default.",
    "`edged --check-config` and `edgectl config check` name every fault at once, each with its key and the accepted \
     values. Unknown keys are faults.",
    "Keys marked (live) are taken over by `edgectl reload` or SIGHUP; the others need a restart. Every number carries its \
     unit in its name.",
];

/// The file that the package installs: every key with its default, commented out.
pub fn default_file() -> String {
    let mut file = String::from(
        "# Configuration of edged. Every key stands here with its default, commented out; edged.toml(5) has the same text.\n\
         # Settings of your own are best kept in /etc/edged/edged.toml.d/*.toml, which updates leave alone.\n\
         # `edgectl config check` names every fault; `edgectl reload` takes over the keys marked (live).\n",
    );
    let mut section = Some("");
    for key in KEYS {
        let (table, name) = parts(key);
        if section != Some(table) {
            file.push_str(&format!("\n#[{table}]\n"));
            section = Some(table);
        }
        let live = if key.reload { " (live)" } else { "" };
        let (unset, value) = match value(key.absent) {
            Ok(value) => (String::new(), format!(" {value}")),
            Err(then) => (format!(" Unset: {then}."), String::new()),
        };
        let text = format!("{} Takes {}.{unset}{live}", key.meaning, key.kind.accepts());
        file.push_str(&format!("\n{}#{name} ={value}\n", comment(&text)));
    }
    for group in GROUPS {
        let live = if group.is_live() { " (live)" } else { "" };
        file.push_str(&format!("\n{}#\n", comment(&format!("{} One of them, as an example{live}:", group.meaning))));
        group.example.lines().for_each(|line| file.push_str(&format!("#   {line}\n")));
    }
    file
}

fn parts(key: &Key) -> (&'static str, &'static str) {
    key.path.rsplit_once('.').unwrap_or(("", key.path))
}

/// The default as TOML, or what happens without a value.
fn value(absent: Absent) -> Result<String, &'static str> {
    match absent {
        Absent::Int(value) => Ok(value.to_string()),
        Absent::Number(value) => Ok(value.to_string()),
        Absent::Bool(value) => Ok(value.to_string()),
        Absent::Text(value) => Ok(format!("\"{value}\"")),
        Absent::Texts(values) => Ok(format!("{values:?}")),
        Absent::Unset(then) => Err(then),
    }
}

fn default_words(absent: Absent) -> String {
    match value(absent) {
        Ok(value) => format!("Default: {value}"),
        Err(then) => format!("Unset: {then}"),
    }
}

fn comment(text: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("# {word}")),
        }
    }
    lines.join("\n") + "\n"
}

fn paragraphs(texts: [&str; 3]) -> String {
    texts.map(|text| format!("{}\n", roff(text))).join(".PP\n")
}

/// Text for roff: words between backticks are bold, nothing is a command.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    let fonts = escaped.split('`').enumerate().map(|(place, part)| match place % 2 {
        1 => format!("\\fB{part}\\fR"),
        _ => part.to_owned(),
    });
    let text = fonts.collect::<String>();
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::raw::Values;
    use super::super::validate::{Machine, validate};
    use super::*;

    fn config(text: &str) -> super::super::Config {
        let mut values = Values::default();
        values.add(Path::new("edged.toml"), text);
        // What was set is not what holds.
        super::super::Config { fixed: Default::default(), ..validate(values, &Machine::default()).unwrap() }
    }

    #[test]
    fn the_default_file_says_what_holds_without_it() {
        let commented = default_file();
        assert_eq!(config(&commented), config(""));
        let set: String = commented.lines().filter_map(uncommented).collect();
        let (general, mqtt) = set.split_once("[mqtt]\n").unwrap();
        assert!(general.contains("max_batch = 16\n") && mqtt.contains("keep_alive_s = 30\n"), "{set}");
        assert_eq!(config(general), config(""));
        let (mqtt, sparkplug) = mqtt.split_once("[sparkplug]\n").unwrap();
        let broker = "[mqtt]\nhost = 'b'\n";
        assert_eq!(config(&format!("{broker}{mqtt}")), config(&format!("{broker}[mqtt.tls]\n")));
        let group = format!("{broker}[sparkplug]\ngroup = 'g'\n");
        assert_eq!(config(&format!("{group}{sparkplug}")), config(&group));
    }

    /// A line that sets something or opens a table, without its `#`.
    fn uncommented(line: &str) -> Option<String> {
        let text = line.strip_prefix('#').filter(|text| !text.starts_with(' '))?;
        (text.starts_with('[') || text.contains(" = ")).then(|| format!("{text}\n"))
    }

    #[test]
    fn the_examples_of_a_site_a_rule_and_a_binding_are_taken() {
        let file = default_file();
        let text: String =
            file.lines().filter_map(|line| line.strip_prefix("#   ")).map(|line| format!("{line}\n")).collect();
        let config = config(&format!("[mqtt]\nhost = 'b'\n{text}"));
        assert_eq!((config.sites.len(), config.rules.len(), config.bindings.len()), (1, 1, 1));
        assert_eq!(config.warnings, Vec::new());
    }

    #[test]
    fn every_key_is_in_the_manual_and_in_the_default_file() {
        let (manual, file) = (man_page(), default_file());
        for (group, key) in GROUPS.iter().flat_map(|group| group.keys.iter().map(move |key| (group, key))) {
            let live = if group.is_live() { " (live)" } else { "" };
            let line = format!(".B {}{live}\n", roff(key.path));
            assert!(key.reload == group.is_live() && manual.contains(&line), "{}", key.path);
        }
        for key in KEYS {
            let name = parts(key).1;
            assert!(manual.contains(&format!(".B {name}")) && file.contains(&format!("\n#{name} =")), "{}", key.path);
        }
    }

    /// `UPDATE_GOLDENS=1` writes them anew.
    #[test]
    fn the_files_in_the_tree_are_those_that_the_table_gives() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (path, text) in files() {
            let file = root.join(path);
            if std::env::var_os("UPDATE_GOLDENS").is_some() {
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(&file, &text).unwrap();
            }
            assert!(
                std::fs::read_to_string(&file).unwrap_or_default() == text,
                "{path} is out of date: run `make gen`"
            );
        }
    }
}
