//! Introspection of each interface against the file that the package installs. `UPDATE_GOLDENS=1` writes the files anew.

use std::path::PathBuf;

use edge_wire::names;
use edge_wire::proxy::InferenceProxy;
use zbus::fdo::IntrospectableProxy;
use zbus::{Connection, Fd};

use crate::fake::{SEALS, client, memfd, no_options};

const HEADER: &str = "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n \
                      \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<node>\n";

fn golden(interface: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("wire/dbus").join(format!("{interface}.xml"))
}

fn block<'x>(xml: &'x str, interface: &str) -> &'x str {
    let start = xml.find(&format!("  <interface name=\"{interface}\">")).expect("the interface is there");
    let rest = &xml[start..];
    let end = rest.find("</interface>\n").expect("the interface ends") + "</interface>\n".len();
    &rest[..end]
}

async fn introspectable(connection: &Connection, path: &str) -> IntrospectableProxy<'static> {
    let builder = IntrospectableProxy::builder(connection).destination(names::BUS_NAME);
    builder.path(path.to_owned()).build().await.unwrap()
}

#[tokio::test]
async fn introspection_is_what_the_golden_files_say() {
    let client = client().await;
    let inference = InferenceProxy::new(&client.connection).await.unwrap();
    let payload = memfd(b"a", SEALS);
    let request = inference.submit("hold", "text/plain", Fd::from(&payload), &no_options()).await.unwrap();
    let model = names::model_path("text-line", "1.0.0");
    let job = names::job_path(7);
    let cases = [
        (names::MANAGER, names::ROOT_PATH),
        (names::INFERENCE, names::ROOT_PATH),
        (names::MODELS, names::ROOT_PATH),
        (names::TELEMETRY, names::ROOT_PATH),
        (names::ROUTING, names::ROOT_PATH),
        (names::MODEL, model.as_str()),
        (names::JOB, job.as_str()),
        (names::REQUEST, request.as_str()),
    ];
    for (interface, path) in cases {
        let object = introspectable(&client.connection, path).await;
        let xml = object.introspect().await.unwrap();
        let now = format!("{HEADER}{}</node>\n", block(&xml, interface));
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::write(golden(interface), &now).unwrap();
        }
        let expected = std::fs::read_to_string(golden(interface)).unwrap_or_default();
        assert_eq!(now, expected, "{interface} has changed; if that is meant, run with UPDATE_GOLDENS=1");
    }
}

#[tokio::test]
async fn the_standard_interfaces_are_there() {
    let client = client().await;
    let object = introspectable(&client.connection, names::ROOT_PATH).await;
    let xml = object.introspect().await.unwrap();
    for interface in ["Introspectable", "Properties", "Peer", "ObjectManager"] {
        assert!(xml.contains(&format!("org.freedesktop.DBus.{interface}")), "{interface} is missing");
    }
}
