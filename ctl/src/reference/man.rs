//! Man pages, one for the command and one for each verb, with the sections that a technician looks for.

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use super::File;
use crate::exit::Exit;

const MANUAL: &str = "edged";

/// The pages that are no verb's.
const ALL: [(&str, &str); 5] = [
    ("edged.toml", "(5), "),
    ("edged-bundle", "(5), "),
    ("edged-dbus", "(7), "),
    ("edged-mqtt", "(7), "),
    ("edged", "(8)"),
];

/// The pages of `command` and of all its verbs.
pub fn pages(command: &Command) -> Vec<File> {
    let mut files = vec![page(command, true)];
    collect(command, &mut files);
    files
}

fn collect(command: &Command, files: &mut Vec<File>) {
    for verb in command.get_subcommands() {
        files.push(page(verb, false));
        collect(verb, files);
    }
}

fn page(command: &Command, is_root: bool) -> File {
    let source = format!("edged {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(source).manual(MANUAL);
    let path = format!("packaging/man/{}", man.get_filename());
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let _ = render(&man, command, is_root, &mut text);
    File { path, text: super::lines_without_trailing_space(&String::from_utf8_lossy(&text)) }
}

fn render(man: &Man, command: &Command, is_root: bool, out: &mut Vec<u8>) -> std::io::Result<()> {
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    if command.has_subcommands() {
        man.render_subcommands_section(out)?;
    }
    let mut roff = Roff::default();
    if is_root {
        environment(&mut roff);
        exit_status(&mut roff);
    }
    examples(&mut roff, command);
    see_also(&mut roff, is_root);
    roff.to_writer(out)
}

fn environment(roff: &mut Roff) {
    roff.control("SH", ["ENVIRONMENT"]);
    item(roff, edge_wire::names::BUS_ENV, "bus on which to find the daemon, unless --bus names it: system or session");
    item(roff, "DBUS_SYSTEM_BUS_ADDRESS, DBUS_SESSION_BUS_ADDRESS", "where the bus is, if not where it always is");
    item(roff, "NO_COLOR", "anything: top draws without colours");
    item(roff, "LC_ALL, LC_CTYPE, LANG", "whether the terminal takes UTF-8; otherwise plain characters are drawn");
}

fn exit_status(roff: &mut Roff) {
    roff.control("SH", ["EXIT STATUS"]);
    for (_, code, meaning) in Exit::ALL {
        item(roff, &code.to_string(), meaning);
    }
}

fn item(roff: &mut Roff, term: &str, text: &str) {
    roff.control("TP", []);
    roff.text([bold(term)]);
    roff.text([roman(text)]);
}

/// The examples that `--help` shows, as they are typed.
fn examples(roff: &mut Roff, command: &Command) {
    let Some(help) = command.get_after_help() else { return };
    roff.control("SH", ["EXAMPLES"]);
    roff.control("nf", []);
    for line in help.to_string().lines().skip(1) {
        roff.text([roman(line.trim())]);
    }
    roff.control("fi", []);
}

fn see_also(roff: &mut Roff, is_root: bool) {
    let pages: &[(&str, &str)] = if is_root { &ALL } else { &[("edgectl", "(1), "), ("edged", "(8)")] };
    roff.control("SH", ["SEE ALSO"]);
    let words: Vec<Inline> = pages.iter().flat_map(|(name, rest)| [bold(*name), roman(*rest)]).collect();
    roff.text(words);
}
