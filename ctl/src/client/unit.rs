//! What systemd knows of the service's unit.

use std::time::Duration;

use zbus::proxy::CacheProperties;

use super::Client;
use crate::diagnose::unit::Unit;

const SYSTEMD: &str = "org.freedesktop.systemd1";
/// The object of `edged.service`.
const PATH: &str = "/org/freedesktop/systemd1/unit/edged_2eservice";
/// It answers at once, or it is not there.
const LIMIT: Duration = Duration::from_secs(2);

impl Client {
    /// What the unit of the service opens; `None` where systemd has no such unit, or does not answer.
    pub async fn unit(&self) -> Option<Unit> {
        tokio::time::timeout(LIMIT, self.asked()).await.ok()?.ok()?
    }

    async fn asked(&self) -> zbus::Result<Option<Unit>> {
        let of = async |interface: &'static str| -> zbus::Result<zbus::Proxy<'_>> {
            let proxy = zbus::proxy::Builder::new(&self.connection).destination(SYSTEMD).path(PATH);
            proxy.interface(interface).cache_properties(CacheProperties::No).build().await
        };
        let unit = of("org.freedesktop.systemd1.Unit").await?;
        if unit.get_property::<String>("LoadState").await? != "loaded" {
            return Ok(None);
        }
        let service = of("org.freedesktop.systemd1.Service").await?;
        let devices: Vec<(String, String)> = service.get_property("DeviceAllow").await?;
        Ok(Some(Unit {
            protect_system: service.get_property("ProtectSystem").await?,
            device_policy: service.get_property("DevicePolicy").await?,
            devices: devices.into_iter().map(|(device, _)| device).collect(),
            writable: service.get_property("ReadWritePaths").await?,
        }))
    }
}
