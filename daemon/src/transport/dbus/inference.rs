//! The interface `Inference`: hands each call to [`super::call`] in the order of arrival.
//!
//! This is the one interface that is not written by zbus's macro: the macro formats a name and starts a task for each
//! call before anything of it is looked at, and copies arguments into maps. Here a call is read in place, and a refused
//! call starts nothing. Because a refusal is written before the next call is read, a caller that does not read them
//! slows down only itself.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use edge_wire::names;
use zbus::export::async_trait::async_trait;
use zbus::message::{Header, Message};
use zbus::names::{InterfaceName, MemberName};
use zbus::object_server::{DispatchResult, Interface, SignalEmitter};
use zbus::{BoxDBusError, Connection, ObjectServer, OwnedVariant, Variant};

use super::call::{Call, Link, refuse};
use super::methods::{self, Method};

/// The interface on one connection.
#[derive(Clone, Debug)]
pub struct Inference(Arc<Link>);

impl Inference {
    /// The interface for the calls of one connection.
    pub fn new(link: Arc<Link>) -> Inference {
        Inference(link)
    }
}

#[async_trait]
impl Interface for Inference {
    fn name() -> InterfaceName<'static> {
        InterfaceName::from_static_str_unchecked(names::INFERENCE)
    }

    fn spawn_tasks_for_methods(&self) -> bool {
        false
    }

    async fn get(
        &self,
        _: &str,
        _: &ObjectServer,
        _: &Connection,
        _: Option<&Header<'_>>,
        _: &SignalEmitter<'_>,
    ) -> Option<Result<OwnedVariant, BoxDBusError>> {
        None
    }

    async fn get_all(
        &self,
        _: &ObjectServer,
        _: &Connection,
        _: Option<&Header<'_>>,
        _: &SignalEmitter<'_>,
    ) -> zbus::fdo::Result<HashMap<String, OwnedVariant>> {
        Ok(HashMap::new())
    }

    async fn set_mut(
        &mut self,
        _: &str,
        _: &Variant<'_>,
        _: &ObjectServer,
        _: &Connection,
        _: Option<&Header<'_>>,
        _: &SignalEmitter<'_>,
    ) -> Option<Result<(), BoxDBusError>> {
        None
    }

    fn call<'call>(
        &'call self,
        _: &'call ObjectServer,
        connection: &'call Connection,
        message: &'call Message,
        name: MemberName<'call>,
    ) -> DispatchResult<'call> {
        let Some(method) = Method::named(name.as_str()) else { return DispatchResult::NotFound };
        DispatchResult::Async(Box::pin(async move {
            if let Err(failure) = Call::begin(&self.0, method, connection, message) {
                refuse(connection, &message.header(), failure).await;
            }
            Ok(())
        }))
    }

    fn call_mut<'call>(
        &'call mut self,
        _: &'call ObjectServer,
        _: &'call Connection,
        _: &'call Message,
        _: MemberName<'call>,
    ) -> DispatchResult<'call> {
        DispatchResult::NotFound
    }

    fn introspect_to_writer(&self, out: &mut dyn Write, level: usize) {
        // Writing into a string cannot fail, and there is nobody to tell.
        let _written = methods::introspect(out, level);
    }
}
