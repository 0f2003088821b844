//! What `Inference` can be asked: the one table from which names, signatures and introspection come.

use std::fmt::Write;

use edge_wire::dict::InfoDict;
use edge_wire::names;
use zbus::{Signature, Type};

use super::arguments::{FdTensor, Given, InlineTensor};

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Infer,
    InferFd,
    InferEncoded,
    Submit,
    Generate,
    Cancel,
    Connect,
}

/// Arguments by name and signature.
type Arguments = &'static [(&'static str, &'static Signature)];

const MODEL: (&str, &Signature) = ("model", &Signature::Str);
const CONTENT_TYPE: (&str, &Signature) = ("content_type", &Signature::Str);
const PAYLOAD: (&str, &Signature) = ("payload", &Signature::Fd);
const OPTIONS: (&str, &Signature) = ("options", Given::SIGNATURE);
const INFO: (&str, &Signature) = ("info", InfoDict::SIGNATURE);
const TENSORS: &Signature = <Vec<InlineTensor<'_>> as Type>::SIGNATURE;
const FD_TENSORS: &Signature = <Vec<FdTensor<'_>> as Type>::SIGNATURE;

impl Method {
    /// Each with its name, a sentence about it, what it takes and what it gives.
    pub const ALL: [(Method, &'static str, &'static str, Arguments, Arguments); 7] = [
        (
            Method::Infer,
            "Infer",
            "Small tensors, as name, datatype, shape and little-endian bytes.",
            &[MODEL, ("inputs", TENSORS), OPTIONS],
            &[("outputs", TENSORS), INFO],
        ),
        (
            Method::InferFd,
            "InferFd",
            "Tensors in memfds sealed with SHRINK, GROW and WRITE, as name, datatype, shape, memfd, offset and length; \
             each output is a fresh one.",
            &[MODEL, ("inputs", FD_TENSORS), OPTIONS],
            &[("outputs", FD_TENSORS), INFO],
        ),
        (
            Method::InferEncoded,
            "InferEncoded",
            "An image, a sound, a text; a sealed memfd is read in place, anything else is copied with a bound.",
            &[MODEL, CONTENT_TYPE, PAYLOAD, OPTIONS],
            &[("json", &Signature::Str), INFO],
        ),
        (
            Method::Submit,
            "Submit",
            "The same without waiting: a Request object, which tells its submitter how it ended.",
            &[MODEL, CONTENT_TYPE, PAYLOAD, OPTIONS],
            &[("request", &Signature::ObjectPath)],
        ),
        (
            Method::Generate,
            "Generate",
            "A chat: request is an OpenAI chat-completions body. The pipe gives one JSON document a line, each a \
             chat.completion.chunk; the last one has usage and info, or error. Closing the pipe gives the request up.",
            &[MODEL, ("request", &Signature::Str), OPTIONS],
            &[("stream", &Signature::Fd)],
        ),
        (
            Method::Cancel,
            "Cancel",
            "Gives up a request of this caller by its own id.",
            &[("request_id", &Signature::Str)],
            &[],
        ),
        (
            Method::Connect,
            "Connect",
            "A private connection with these interfaces and without the bus in between; closing it is leaving.",
            &[OPTIONS],
            &[("socket", &Signature::Fd)],
        ),
    ];

    /// Its name on the bus.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    /// The method called `name`.
    pub fn named(name: &str) -> Option<Method> {
        Self::ALL.iter().find(|row| row.1 == name).map(|row| row.0)
    }
}

/// Writes the interface as D-Bus introspection XML.
pub fn introspect(out: &mut dyn Write, level: usize) -> std::fmt::Result {
    writeln!(out, "{:level$}<interface name=\"{}\">", "", names::INFERENCE)?;
    for (_, name, doc, takes, gives) in Method::ALL {
        let inner = level + 2;
        writeln!(out, "{:inner$}<!--\n{:inner$} {doc}\n{:inner$} -->", "", "", "")?;
        writeln!(out, "{:inner$}<method name=\"{name}\">", "")?;
        for (arguments, direction) in [(takes, "in"), (gives, "out")] {
            for (argument, signature) in arguments {
                let inner = inner + 2;
                let line = format!("<arg name=\"{argument}\" type=\"{signature}\" direction=\"{direction}\"/>");
                writeln!(out, "{:inner$}{line}", "")?;
            }
        }
        writeln!(out, "{:inner$}</method>", "")?;
    }
    writeln!(out, "{:level$}</interface>", "")
}
