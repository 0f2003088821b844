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
    // Nobody else's name may pass for one of the loopback, whatever stands behind it but a port.
    if route::is_local(host) {
        let name = host.trim_end_matches(|letter: char| letter.is_ascii_digit()).trim_end_matches(':');
        let known = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        assert!(known.contains(&name.to_ascii_lowercase()) || known.contains(&host.to_ascii_lowercase()), "{host}");
    }
    let _form = Form::wanted(accept);
});
