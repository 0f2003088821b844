//! MQTT.

mod acks;
mod codec;
mod outbox;
mod packet;
mod session;
