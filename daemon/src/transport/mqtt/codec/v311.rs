//! MQTT 3.1.1.

use bytes::BytesMut;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{
    Connect, ConnectReturnCode, Disconnect, LastWill, Login, Packet, PubAck, PubComp, PubRec, PubRel, Publish,
    Subscribe, SubscribeFilter, SubscribeReasonCode, Unsubscribe,
};

use super::CodecError;
use crate::transport::mqtt::packet::{FromBroker, Granted, Hello, Inbound, Outbound, Properties, Qos, ToBroker};

pub(super) fn read(buffer: &mut BytesMut) -> Result<FromBroker, CodecError> {
    let packet = Packet::read(buffer, usize::MAX).map_err(CodecError::Read311)?;
    Ok(match packet {
        Packet::ConnAck(ack) => FromBroker::Connected(match ack.code {
            ConnectReturnCode::Success => Ok(Granted {
                session_present: ack.session_present,
                receive_max: u16::MAX,
                max_packet: None,
                max_qos: Qos::ExactlyOnce,
                keep_alive_s: None,
            }),
            refused => Err(format!("{refused:?}")),
        }),
        Packet::Publish(publish) => FromBroker::Publish(Box::new(Inbound {
            topic: publish.topic,
            payload: publish.payload,
            qos: from_qos(publish.qos),
            packet_id: publish.pkid,
            redelivered: publish.dup,
            retained: publish.retain,
            properties: Properties::default(),
            oversized: None,
        })),
        Packet::PubAck(ack) => FromBroker::PubAck(ack.pkid, Ok(())),
        Packet::PubRec(ack) => FromBroker::PubRec(ack.pkid, Ok(())),
        Packet::PubRel(ack) => FromBroker::PubRel(ack.pkid),
        Packet::PubComp(ack) => FromBroker::PubComp(ack.pkid),
        Packet::SubAck(ack) => FromBroker::SubAck(ack.return_codes.into_iter().map(subscribed).collect()),
        Packet::UnsubAck(_) => FromBroker::UnsubAck,
        Packet::PingResp => FromBroker::Pong,
        Packet::Disconnect => super::disconnect(&[]),
        Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq => {
            return Err(CodecError::Kind { kind: 0, bytes: 0 });
        }
    })
}

pub(super) fn write(packet: &ToBroker, out: &mut BytesMut) -> Result<(), CodecError> {
    let packet = match packet {
        ToBroker::Publish { packet_id, again, message } => Packet::Publish(publish(*packet_id, *again, message)),
        ToBroker::PubAck(id) => Packet::PubAck(PubAck { pkid: *id }),
        ToBroker::PubRec(id) => Packet::PubRec(PubRec { pkid: *id }),
        ToBroker::PubRel(id) => Packet::PubRel(PubRel { pkid: *id }),
        ToBroker::PubComp(id) => Packet::PubComp(PubComp { pkid: *id }),
        ToBroker::Subscribe { packet_id, filters, .. } => {
            let filters = filters.iter().map(|(path, qos)| SubscribeFilter::new(path.clone(), to_qos(*qos)));
            Packet::Subscribe(Subscribe { pkid: *packet_id, ..Subscribe::new_many(filters) })
        }
        ToBroker::Unsubscribe { packet_id, filters } => {
            Packet::Unsubscribe(Unsubscribe { pkid: *packet_id, topics: filters.clone() })
        }
        ToBroker::Ping => Packet::PingReq,
        ToBroker::Disconnect | ToBroker::DisconnectWithWill => {
            Disconnect.write(out).map_err(CodecError::Write311)?;
            return Ok(());
        }
    };
    packet.write(out, usize::MAX).map(drop).map_err(CodecError::Write311)
}

pub(super) fn write_hello(hello: &Hello, out: &mut BytesMut) -> Result<(), CodecError> {
    let mut connect = Connect::new(hello.client_id.clone());
    connect.keep_alive = hello.keep_alive_s;
    connect.clean_session = hello.manner.clean;
    let will = &hello.manner.will;
    connect.last_will = Some(LastWill::new(will.topic.clone(), will.payload.to_vec(), to_qos(will.qos), will.retain));
    connect.login = hello.username.as_ref().map(|name| Login::new(name, hello.password.clone().unwrap_or_default()));
    connect.write(out).map(drop).map_err(CodecError::Write311)
}

fn publish(packet_id: u16, again: bool, message: &Outbound) -> Publish {
    Publish {
        dup: again,
        retain: message.retain,
        pkid: packet_id,
        ..Publish::from_bytes(message.topic.clone(), to_qos(message.qos), message.payload.clone())
    }
}

fn subscribed(code: SubscribeReasonCode) -> Result<(), String> {
    match code {
        SubscribeReasonCode::Success(_) => Ok(()),
        SubscribeReasonCode::Failure => Err("refused by the broker".into()),
    }
}

fn from_qos(qos: QoS) -> Qos {
    match qos {
        QoS::AtMostOnce => Qos::AtMostOnce,
        QoS::AtLeastOnce => Qos::AtLeastOnce,
        QoS::ExactlyOnce => Qos::ExactlyOnce,
    }
}

fn to_qos(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
        Qos::ExactlyOnce => QoS::ExactlyOnce,
    }
}
