//! Who may do what. Reads are open, inference is for a group, changes are polkit's to allow, root may all; on a session
//! bus its owner may all. Knows nothing of requests; the caller's credentials were asked of the bus, never of the caller.

use std::collections::HashMap;
use std::sync::Arc;

use edge_wire::error::ErrorCode;
use edge_wire::names::INFER_GROUP;
use zbus::Connection;
use zbus::export::async_trait::async_trait;
use zbus::message::Header;
use zbus_polkit::policykit1::{AuthorityProxy, CheckAuthorizationFlags, Subject};

use crate::request::Failure;

/// What somebody wants to do.
#[derive(Debug)]
pub enum Access<'a> {
    /// Look at state.
    Read,
    /// Ask for inference, and cancel what it asked for.
    Infer,
    /// Change something: a polkit action, and the call that asks for it.
    Change { action: &'static str, call: &'a Header<'a> },
}

/// How a caller reaches us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    Bus,
    /// A private connection that `Connect` handed out.
    Peer,
}

/// Who a caller is, as the bus says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Unique name on the bus; for a peer, of the connection that called `Connect`.
    pub name: Arc<str>,
    pub uid: u32,
    /// Every group, as the bus or the user database says.
    pub groups: Vec<u32>,
    pub via: Via,
}

/// The one seam through which every call goes. Inference is asked once per connection, changes each time.
#[async_trait]
pub trait Authority: Send + Sync + 'static {
    /// Nothing, or `not_authorized` with what would be needed.
    async fn check(&self, who: &Identity, access: Access<'_>) -> Result<(), Failure>;

    /// Whether groups matter, so that they are looked up.
    fn needs_groups(&self) -> bool {
        false
    }
}

/// The rules of a session bus.
#[derive(Debug)]
pub struct SessionAuthority {
    /// Whose bus it is.
    pub owner: u32,
}

#[async_trait]
impl Authority for SessionAuthority {
    async fn check(&self, who: &Identity, access: Access<'_>) -> Result<(), Failure> {
        match access {
            Access::Read => Ok(()),
            Access::Infer | Access::Change { .. } if who.uid == 0 || who.uid == self.owner => Ok(()),
            Access::Infer | Access::Change { .. } => {
                Err(denied(format!("user {} does not own this session bus (user {} does)", who.uid, self.owner)))
            }
        }
    }
}

/// The rules of the system bus.
#[derive(Debug)]
pub struct SystemAuthority {
    /// Where polkit is asked.
    pub connection: Connection,
    /// Number of the group that may infer; `None` if there is no such group, so that only root may.
    pub infer_group: Option<u32>,
}

#[async_trait]
impl Authority for SystemAuthority {
    async fn check(&self, who: &Identity, access: Access<'_>) -> Result<(), Failure> {
        match access {
            Access::Read => Ok(()),
            _ if who.uid == 0 => Ok(()),
            Access::Infer => self.may_infer(who),
            Access::Change { .. } if who.via == Via::Peer => {
                Err(denied("changes are asked for on the bus, not over a private connection"))
            }
            Access::Change { action, call } => self.ask_polkit(action, call).await,
        }
    }

    fn needs_groups(&self) -> bool {
        true
    }
}

impl SystemAuthority {
    fn may_infer(&self, who: &Identity) -> Result<(), Failure> {
        match self.infer_group {
            Some(group) if who.groups.contains(&group) => Ok(()),
            Some(_) => Err(denied(format!(
                "user {} is not in the group {INFER_GROUP}; add it, and log in again for it to count",
                who.uid
            ))),
            None => {
                Err(denied(format!("only root may infer, because there is no group {INFER_GROUP} on this machine")))
            }
        }
    }

    async fn ask_polkit(&self, action: &str, call: &Header<'_>) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| denied(format!("polkit was asked about {action}, but: {error}"));
        let subject = Subject::new_for_message_header(call).map_err(|error| failed(&error))?;
        let interactive = call.primary().flags().contains(zbus::message::Flags::ALLOW_INTERACTIVE_AUTH);
        let flags = match interactive {
            true => CheckAuthorizationFlags::ALLOW_USER_INTERACTION,
            false => CheckAuthorizationFlags::empty(),
        };
        let polkit = AuthorityProxy::new(&self.connection).await.map_err(|error| failed(&error))?;
        let answer = polkit.check_authorization(&subject, action, &HashMap::new(), flags, "").await;
        match answer {
            Ok(answer) if answer.is_authorized => Ok(()),
            Ok(answer) if answer.is_challenge => {
                Err(denied(format!("{action} needs an administrator's password, and nobody could be asked for it")))
            }
            Ok(_) => Err(denied(format!("polkit does not allow {action}"))),
            Err(zbus::Error::FDO(error)) if is_absent(&error) => {
                Err(denied(format!("{action} is polkit's to allow, and no polkit runs here; root may do it")))
            }
            Err(error) => Err(failed(&error)),
        }
    }
}

fn is_absent(error: &zbus::fdo::Error) -> bool {
    use zbus::fdo::Error;
    matches!(error, Error::ServiceUnknown(_) | Error::NameHasNoOwner(_) | Error::SpawnServiceNotFound(_))
}

fn denied(message: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::NotAuthorized, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(uid: u32, groups: &[u32]) -> Identity {
        Identity { name: ":1.7".into(), uid, groups: groups.to_vec(), via: Via::Bus }
    }

    #[tokio::test]
    async fn on_a_session_bus_its_owner_and_root_may_all_and_others_may_look() {
        let call = zbus::Message::method_call("/", "Drain").build(&()).unwrap();
        let header = call.header();
        let authority = SessionAuthority { owner: 1000 };
        for (uid, may) in [(1000, true), (0, true), (1001, false)] {
            let who = identity(uid, &[]);
            let change = Access::Change { action: "a", call: &header };
            assert!(authority.check(&who, Access::Read).await.is_ok());
            assert_eq!(authority.check(&who, Access::Infer).await.is_ok(), may);
            assert_eq!(authority.check(&who, change).await.is_ok(), may);
        }
    }

    #[test]
    fn on_the_system_bus_the_group_may_infer() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            one.set_nonblocking(true).unwrap();
            let guid = zbus::Guid::generate();
            let socket = crate::transport::dbus::socket::PeerSocket::new(one).unwrap();
            let connection = zbus::connection::Builder::authenticated_socket(socket, guid).p2p().build().await.unwrap();
            let mut authority = SystemAuthority { connection, infer_group: Some(70) };
            assert!(authority.check(&identity(1000, &[100, 70]), Access::Infer).await.is_ok());
            assert!(authority.check(&identity(0, &[]), Access::Infer).await.is_ok());
            let no = authority.check(&identity(1000, &[100]), Access::Infer).await.unwrap_err();
            assert!(no.code == ErrorCode::NotAuthorized && no.message.contains("group edge"), "{}", no.message);
            authority.infer_group = None;
            let no = authority.check(&identity(1000, &[70]), Access::Infer).await.unwrap_err();
            assert!(no.message.contains("no group edge"), "{}", no.message);
        });
    }
}
