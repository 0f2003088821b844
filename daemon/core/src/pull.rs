//! When and whence a bundle is fetched: which source is tried next and after which pause ([`course`]), whether it may be fetched
//! at this time of day ([`window`]), how fast ([`pace`]), and how long the rest will take ([`speed`]). Pure functions and
//! small machines of values; must know no address, no protocol and no file.

pub mod course;
pub mod pace;
pub mod speed;
pub mod window;
