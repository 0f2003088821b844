//! From the head of a request to what is meant by it: pure, so that every path and method is a row of a table.

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// All that is counted and measured, for Prometheus.
    Metrics,
    /// Whether the daemon lives.
    Live,
    /// Whether it runs requests.
    Ready,
}

/// Why nothing is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// There is nothing at this path.
    Path,
    /// There is, and it does not take this method but these.
    Method(&'static str),
}

const READ: &str = "GET, HEAD";

/// Path, methods, meaning.
const TABLE: [(&str, &str, Route); 3] = [
    ("/metrics", READ, Route::Metrics),
    ("/v2/health/live", READ, Route::Live),
    ("/v2/health/ready", READ, Route::Ready),
];

/// What is meant by a method and a path without its query.
pub fn find(method: &str, path: &str) -> Result<Route, Missed> {
    let (_, methods, route) = TABLE.into_iter().find(|(known, ..)| *known == path).ok_or(Missed::Path)?;
    let is_taken = methods.split(", ").any(|known| known == method);
    if is_taken { Ok(route) } else { Err(Missed::Method(methods)) }
}

/// The path of a route, which is its name among the counters too.
pub fn path(route: Route) -> &'static str {
    TABLE.iter().find(|(.., known)| *known == route).map_or("", |(path, ..)| path)
}

/// Every path that there is, in words.
pub fn paths() -> String {
    TABLE.map(|(path, ..)| path).join(", ")
}

/// Whether a request that came by the port is meant for this box, by its header `Host`. A page of the web in a browser of this box
/// can be made to ask a name of its own that leads to the loopback, and read the answer: it is told nothing.
pub fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|local| name.eq_ignore_ascii_case(local))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_takes_its_methods_and_nothing_else_is_meant() {
        for (method, path, expected) in [
            ("GET", "/metrics", Ok(Route::Metrics)),
            ("HEAD", "/metrics", Ok(Route::Metrics)),
            ("GET", "/v2/health/live", Ok(Route::Live)),
            ("GET", "/v2/health/ready", Ok(Route::Ready)),
            ("POST", "/metrics", Err(Missed::Method("GET, HEAD"))),
            ("get", "/metrics", Err(Missed::Method("GET, HEAD"))),
            ("", "/metrics", Err(Missed::Method("GET, HEAD"))),
            ("GET, HEAD", "/metrics", Err(Missed::Method("GET, HEAD"))),
            ("DELETE", "/v2/health/ready", Err(Missed::Method("GET, HEAD"))),
            ("GET", "/metrics/", Err(Missed::Path)),
            ("GET", "//metrics", Err(Missed::Path)),
            ("GET", "/Metrics", Err(Missed::Path)),
            ("GET", "/%6detrics", Err(Missed::Path)),
            ("GET", "/v2/health", Err(Missed::Path)),
            ("GET", "/", Err(Missed::Path)),
            ("GET", "", Err(Missed::Path)),
            ("GET", "*", Err(Missed::Path)),
            ("POST", "/v1/chat/completions", Err(Missed::Path)),
        ] {
            assert_eq!(find(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn each_route_is_found_by_its_own_path() {
        for route in [Route::Metrics, Route::Live, Route::Ready] {
            assert_eq!(find("GET", path(route)), Ok(route));
            assert!(paths().contains(path(route)));
        }
    }

    #[test]
    fn only_names_of_the_loopback_are_local() {
        for host in ["localhost", "LocalHost:9464", "127.0.0.1", "127.0.0.1:1", "[::1]:9464", "[::1]", "localhost:"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["", "evil.example", "evil.example:9464", "localhost.evil.example", "127.0.0.1.evil:9464", "::1"] {
            assert!(!is_local(host), "{host}");
        }
    }
}
