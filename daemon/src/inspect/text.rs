//! Gets the text out of a payload: plain text, JSON, the body of an OpenAI chat, tensors of BYTES (Open Inference Protocol). Says what
//! cannot be read. Base64 is not looked into, and pictures and sounds are not understood. Must not know what is
//! searched for.

use super::json::{self, Take};
use super::tokens;

/// What came.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// An encoded payload, with its content type.
    Encoded { content_type: &'a str, bytes: &'a [u8] },
    /// An OpenAI body: chat completions (`messages`) or completions (`prompt`); or the list of messages alone.
    Chat(&'a [u8]),
    /// A tensor: its name, datatype as in the Open Inference Protocol, and raw contents.
    Tensor { name: &'a str, datatype: &'a str, bytes: &'a [u8] },
}

/// Whether there is text in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readable {
    /// It was read; there may be pictures and the like beside it, see [`Seen::media`].
    Text,
    /// Pictures, sounds, numbers: nothing that could be read.
    NotText,
    /// It should be text, or may be, and was not read to its end. Counts as the strictest class.
    Unreadable(Why),
}

/// Why something cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    #[error("byte {at} is not UTF-8")]
    NotUtf8 { at: usize },
    #[error("element {element} of tensor {name}: byte {at} is not UTF-8, and it is no picture or sound that is known")]
    NotText { name: String, element: usize, at: usize },
    #[error("the charset {0} is not read; only utf-8 and us-ascii are")]
    Charset(String),
    #[error("the content type {0} is not known")]
    ContentType(String),
    #[error("not JSON: {0}")]
    Json(String),
    #[error("element {element} of tensor {name} says it has {announced} bytes, and {left} are left")]
    Element { name: String, element: usize, announced: u64, left: usize },
}

/// What was seen of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub readable: Readable,
    /// Parts that are no text: pictures in a chat, tensors of numbers.
    pub media: usize,
    /// Messages of a chat.
    pub messages: usize,
    /// Bytes of text.
    pub bytes: usize,
    /// Estimate, see [`tokens`].
    pub tokens: u64,
}

impl Seen {
    fn of(readable: Readable) -> Seen {
        let media = usize::from(readable == Readable::NotText);
        Seen { readable, media, messages: 0, bytes: 0, tokens: 0 }
    }

    /// What was seen of both.
    #[must_use]
    pub fn and(self, other: Seen) -> Seen {
        let readable = match (self.readable, other.readable) {
            (Readable::Unreadable(why), _) | (_, Readable::Unreadable(why)) => Readable::Unreadable(why),
            (Readable::Text, _) | (_, Readable::Text) => Readable::Text,
            (Readable::NotText, Readable::NotText) => Readable::NotText,
        };
        Seen {
            readable,
            media: self.media + other.media,
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
            tokens: self.tokens + other.tokens,
        }
    }
}

/// Tells `each` every text of a payload, with what it is called.
pub fn texts(source: Source<'_>, each: impl FnMut(&str, &str)) -> Seen {
    let mut reader = Reader { each, media: 0, messages: 0, bytes: 0, tokens: 0 };
    let readable = match source {
        Source::Encoded { content_type, bytes } => reader.encoded(content_type, bytes),
        Source::Chat(body) => reader.chat(body),
        Source::Tensor { name, datatype: "BYTES", bytes } => reader.elements(name, bytes),
        Source::Tensor { .. } => Readable::NotText,
    };
    let seen = Seen::of(readable);
    Seen {
        media: seen.media + reader.media,
        messages: reader.messages,
        bytes: reader.bytes,
        tokens: reader.tokens + tokens::PER_MESSAGE * reader.messages as u64,
        ..seen
    }
}

struct Reader<F> {
    each: F,
    media: usize,
    messages: usize,
    bytes: usize,
    tokens: u64,
}

impl<F: FnMut(&str, &str)> Take for Reader<F> {
    fn text(&mut self, name: &str, text: &str) {
        if is_media(text) {
            self.media += 1;
            return;
        }
        // Each message of a chat has one role.
        self.messages += usize::from(name.is_empty() && text == "role");
        self.bytes += text.len();
        if !name.is_empty() {
            self.tokens += tokens::estimate(text);
        }
        (self.each)(name, text);
    }
}

impl<F: FnMut(&str, &str)> Reader<F> {
    fn encoded(&mut self, content_type: &str, bytes: &[u8]) -> Readable {
        let (essence, charset) = parts(content_type);
        if charset.as_deref().is_some_and(|charset| !matches!(charset, "utf-8" | "utf8" | "us-ascii" | "ascii")) {
            return Readable::Unreadable(Why::Charset(charset.unwrap_or_default()));
        }
        match essence.as_str() {
            "application/json" | "text/json" => self.json(bytes),
            "application/x-ndjson" | "application/jsonl" => self.lines(bytes),
            other if other.ends_with("+json") => self.json(bytes),
            other if other.starts_with("text/") => self.plain(bytes),
            other if ["image/", "audio/", "video/"].iter().any(|kind| other.starts_with(kind)) => Readable::NotText,
            // Bytes that say nothing of themselves: text if they look like it.
            "application/octet-stream" | "" => match self.plain(bytes) {
                Readable::Unreadable(_) => Readable::NotText,
                read => read,
            },
            "application/xml" | "application/x-www-form-urlencoded" | "application/yaml" | "application/toml" => {
                self.plain(bytes)
            }
            other => Readable::Unreadable(Why::ContentType(other.to_owned())),
        }
    }

    fn plain(&mut self, bytes: &[u8]) -> Readable {
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                self.bytes += text.len();
                self.tokens += tokens::estimate(text);
                (self.each)("", text);
                Readable::Text
            }
            Err(fault) => Readable::Unreadable(Why::NotUtf8 { at: fault.valid_up_to() }),
        }
    }

    fn json(&mut self, bytes: &[u8]) -> Readable {
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let read = json::walk(bytes, self);
        // A role in a document that is no chat is no message.
        self.messages = 0;
        told(read)
    }

    fn lines(&mut self, bytes: &[u8]) -> Readable {
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        for line in lines {
            let read = self.json(line);
            if read != Readable::Text {
                return read;
            }
        }
        Readable::Text
    }

    fn chat(&mut self, body: &[u8]) -> Readable {
        told(json::walk(body, self))
    }

    /// Each element has four bytes of length, least significant first, before it.
    fn elements(&mut self, name: &str, mut bytes: &[u8]) -> Readable {
        let mut read = Readable::Text;
        let mut element = 0;
        while !bytes.is_empty() {
            let split = bytes.split_first_chunk::<4>().and_then(|(length, rest)| {
                let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
                rest.split_at_checked(length)
            });
            let Some((content, rest)) = split else {
                let announced = bytes.first_chunk::<4>().map_or(4, |length| u64::from(u32::from_le_bytes(*length)));
                let left = bytes.len().saturating_sub(4);
                return Readable::Unreadable(Why::Element { name: name.to_owned(), element, announced, left });
            };
            match std::str::from_utf8(content) {
                Ok(text) => {
                    Take::text(self, name, text);
                    if json::may_be_document(text) {
                        // If it is none, it was told as a text.
                        json::walk(text.trim_start_matches('\u{feff}').as_bytes(), self).ok();
                    }
                }
                Err(_) if is_picture_or_sound(content) => {
                    if read == Readable::Text {
                        read = Readable::NotText;
                    }
                }
                Err(fault) => {
                    let at = fault.valid_up_to();
                    read = Readable::Unreadable(Why::NotText { name: name.to_owned(), element, at });
                }
            }
            (bytes, element) = (rest, element + 1);
        }
        self.messages = 0;
        read
    }
}

fn told(read: Result<(), serde_json::Error>) -> Readable {
    match read {
        Ok(()) => Readable::Text,
        Err(fault) => Readable::Unreadable(Why::Json(fault.to_string())),
    }
}

/// Type and charset of a content type, in small letters.
fn parts(content_type: &str) -> (String, Option<String>) {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    });
    (essence, charset)
}

/// Whether bytes begin as pictures and sounds do. What else is not UTF-8 may be a text in another charset.
fn is_picture_or_sound(bytes: &[u8]) -> bool {
    const BEGINNINGS: [&[u8]; 11] = [
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"GIF87a",
        b"GIF89a",
        b"II*\0",
        b"MM\0*",
        b"OggS",
        b"fLaC",
        b"ID3",
        b"\xff\xfb",
        b"\xff\xf3",
    ];
    let riff = bytes.starts_with(b"RIFF") && matches!(bytes.get(8..12), Some(b"WAVE" | b"WEBP"));
    let bmp = bytes.strip_prefix(b"BM").and_then(<[u8]>::first_chunk::<4>);
    let is_bmp = bmp.is_some_and(|len| usize::try_from(u32::from_le_bytes(*len)) == Ok(bytes.len()));
    let is_mp4 = bytes.get(4..8) == Some(b"ftyp") && bytes.starts_with(&[0, 0]);
    riff || is_bmp || is_mp4 || BEGINNINGS.iter().any(|begin| bytes.starts_with(begin))
}

/// `data:image/png;base64,...` with nothing but base64 in it.
fn is_media(text: &str) -> bool {
    let head = text.get(..5).is_some_and(|head| head.eq_ignore_ascii_case("data:"));
    let Some((kind, content)) = text.split_once(";base64,").filter(|_| head) else { return false };
    let short = kind.len() < 64 && kind.bytes().all(|byte| byte.is_ascii_graphic());
    short && content.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: Source<'_>) -> (Seen, String) {
        let mut told = String::new();
        let seen = texts(source, |name, text| {
            if !name.is_empty() || !matches!(source, Source::Chat(_)) {
                told.push_str(&format!("{name}={text};"));
            }
        });
        (seen, told)
    }

    #[test]
    fn a_chat_is_read_with_its_parts_tools_and_names_and_its_messages_are_counted() {
        let body = br#"{"model":"m","messages":[
            {"role":"system","content":"be kind"},
            {"role":"user","name":"joe","content":[{"type":"text","text":"a\u0040b.com"},
                {"type":"image_url","image_url":{"url":"data:image/png;base64,4111111111111111"}}]},
            {"role":"assistant","tool_calls":[{"id":"1","type":"function",
                "function":{"name":"f","arguments":"{\"to\":\"c\\u0040d.com\"}"}}]}]}"#;
        let (seen, told) = read(Source::Chat(body));
        assert_eq!((seen.readable, seen.messages, seen.media), (Readable::Text, 3, 1));
        for part in ["content=be kind;", "name=joe;", "text=a@b.com;", "to=c@d.com;", "name=f;"] {
            assert!(told.contains(part), "{part} in {told}");
        }
        assert!(!told.contains("4111"), "{told}");
        assert!(seen.tokens > 10);
    }

    #[test]
    fn what_is_read_depends_on_what_it_says_it_is() {
        let text = |content_type| Source::Encoded { content_type, bytes: b"\"hi\"" };
        for (source, readable, told) in [
            (text("text/plain"), Readable::Text, "=\"hi\";"),
            (text("Text/Plain; charset=UTF-8"), Readable::Text, "=\"hi\";"),
            (text("application/json"), Readable::Text, ""),
            (text("application/problem+json"), Readable::Text, ""),
            (text("application/octet-stream"), Readable::Text, "=\"hi\";"),
            (text("image/png"), Readable::NotText, ""),
            (text("text/plain; charset=utf-16"), Readable::Unreadable(Why::Charset("utf-16".to_owned())), ""),
            (text("application/pdf"), Readable::Unreadable(Why::ContentType("application/pdf".to_owned())), ""),
            (
                Source::Encoded { content_type: "text/plain", bytes: b"a\xff" },
                Readable::Unreadable(Why::NotUtf8 { at: 1 }),
                "",
            ),
            (Source::Encoded { content_type: "application/octet-stream", bytes: b"a\xff" }, Readable::NotText, ""),
            (Source::Tensor { name: "x", datatype: "FP32", bytes: b"abcd" }, Readable::NotText, ""),
            (
                Source::Tensor { name: "x", datatype: "BYTES", bytes: b"\x02\0\0\0hi\x01\0\0\0!" },
                Readable::Text,
                "x=hi;x=!;",
            ),
            (Source::Tensor { name: "x", datatype: "BYTES", bytes: b"\x03\0\0\0\xff\xd8\xff" }, Readable::NotText, ""),
            (
                Source::Tensor { name: "x", datatype: "BYTES", bytes: b"\x01\0\0\0\xff\x02\0\0\0hi" },
                Readable::Unreadable(Why::NotText { name: "x".to_owned(), element: 0, at: 0 }),
                "x=hi;",
            ),
            (
                Source::Tensor { name: "x", datatype: "BYTES", bytes: b"\x02\0\0\0hi\x09\0\0\0!" },
                Readable::Unreadable(Why::Element { name: "x".to_owned(), element: 1, announced: 9, left: 1 }),
                "x=hi;",
            ),
        ] {
            let (seen, said) = read(source);
            assert_eq!(seen.readable, readable, "{source:?}");
            if told.is_empty() {
                continue;
            }
            assert_eq!(said, told, "{source:?}");
        }
        let (seen, _) = read(Source::Chat(b"{\"messages\":["));
        assert!(matches!(seen.readable, Readable::Unreadable(Why::Json(_))));
    }

    #[test]
    fn a_text_that_pretends_to_be_a_picture_is_read() {
        let (seen, told) = read(Source::Chat(br#"{"prompt":"data:image/png;base64,mail a@b.com"}"#));
        assert_eq!(seen.media, 0);
        assert!(told.contains("a@b.com"));
    }

    #[test]
    fn the_strictest_of_two_payloads_holds() {
        let text = Seen::of(Readable::Text);
        let picture = Seen::of(Readable::NotText);
        let broken = Seen::of(Readable::Unreadable(Why::NotUtf8 { at: 0 }));
        assert_eq!(text.clone().and(picture.clone()).readable, Readable::Text);
        assert_eq!(text.clone().and(picture.clone()).media, 1);
        assert_eq!(picture.and(broken.clone()).readable, broken.readable);
        assert_eq!(text.and(broken.clone()).readable, broken.readable);
    }
}
