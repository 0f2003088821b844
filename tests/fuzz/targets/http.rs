//! What of a request's head is looked at after hyper has parsed it: method, path, `Host` and `Accept`, a line each.

#![no_main]

use edged::transport::http::metrics::Form;
use edged::transport::http::route;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let (method, path, host, accept) = (next(), next(), next(), next());
    if let Ok(found) = route::find(method, path) {
        assert_eq!(route::path(found), path);
    }
    // Whatever else it is, a name of the loopback is the beginning of it.
    assert!(!route::is_local(host) || host.len() >= "localhost".len() || host.starts_with('['));
    let _form = Form::wanted(accept);
});
