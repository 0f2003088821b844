//! MQTT 5.

use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAckProperties, Connect, ConnectProperties, ConnectReturnCode, Disconnect, DisconnectReasonCode, Filter,
    LastWill, Login, Packet, PingReq, PubAck, PubAckReason, PubComp, PubRec, PubRecReason, PubRel, Publish,
    PublishProperties, RetainForwardRule, Subscribe, SubscribeReasonCode, Unsubscribe,
};

use super::CodecError;
use crate::transport::mqtt::packet::{
    FromBroker, Granted, Hello, Inbound, NotTaken, Outbound, Properties, Qos, ToBroker,
};

/// How long the broker keeps our session while we are away: as long as the longest deadline.
const SESSION_EXPIRY_S: u32 = 7 * 24 * 3600;

pub(super) fn read(buffer: &mut BytesMut) -> Result<FromBroker, CodecError> {
    let packet = Packet::read(buffer, None).map_err(CodecError::Read5)?;
    Ok(match packet {
        Packet::ConnAck(ack) => FromBroker::Connected(match ack.code {
            ConnectReturnCode::Success => Ok(granted(ack.session_present, ack.properties.as_ref())),
            refused => Err(match ack.properties.and_then(|properties| properties.reason_string) {
                Some(text) => format!("{refused:?}: {text}"),
                None => format!("{refused:?}"),
            }),
        }),
        Packet::Publish(publish) => FromBroker::Publish(Box::new(inbound(publish)?)),
        Packet::PubAck(ack) => FromBroker::PubAck(
            ack.pkid,
            match ack.reason {
                PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Ok(()),
                PubAckReason::NotAuthorized | PubAckReason::TopicNameInvalid | PubAckReason::PayloadFormatInvalid => {
                    Err(NotTaken { reason: format!("{:?}", ack.reason), passing: false })
                }
                PubAckReason::UnspecifiedError
                | PubAckReason::ImplementationSpecificError
                | PubAckReason::PacketIdentifierInUse
                | PubAckReason::QuotaExceeded => Err(NotTaken { reason: format!("{:?}", ack.reason), passing: true }),
            },
        ),
        Packet::PubRec(ack) => FromBroker::PubRec(
            ack.pkid,
            match ack.reason {
                PubRecReason::Success | PubRecReason::NoMatchingSubscribers => Ok(()),
                PubRecReason::NotAuthorized | PubRecReason::TopicNameInvalid | PubRecReason::PayloadFormatInvalid => {
                    Err(NotTaken { reason: format!("{:?}", ack.reason), passing: false })
                }
                PubRecReason::UnspecifiedError
                | PubRecReason::ImplementationSpecificError
                | PubRecReason::PacketIdentifierInUse
                | PubRecReason::QuotaExceeded => Err(NotTaken { reason: format!("{:?}", ack.reason), passing: true }),
            },
        ),
        Packet::PubRel(ack) => FromBroker::PubRel(ack.pkid),
        Packet::PubComp(ack) => FromBroker::PubComp(ack.pkid),
        Packet::SubAck(ack) => FromBroker::SubAck(ack.return_codes.into_iter().map(subscribed).collect()),
        Packet::UnsubAck(_) => FromBroker::UnsubAck,
        Packet::PingResp(_) => FromBroker::Pong,
        Packet::Disconnect(_) => super::disconnect(&[]),
        Packet::Auth(_) | Packet::Connect(..) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq(_) => {
            return Err(CodecError::Kind { kind: 0, bytes: 0 });
        }
    })
}

pub(super) fn write(packet: &ToBroker, out: &mut BytesMut) -> Result<(), CodecError> {
    let packet = match packet {
        ToBroker::Publish { packet_id, again, message } => Packet::Publish(publish(*packet_id, *again, message)),
        ToBroker::PubAck(id) => Packet::PubAck(PubAck::new(*id, None)),
        ToBroker::PubRec(id) => Packet::PubRec(PubRec::new(*id, None)),
        ToBroker::PubRel(id) => Packet::PubRel(PubRel::new(*id, None)),
        ToBroker::PubComp(id) => Packet::PubComp(PubComp::new(*id, None)),
        ToBroker::Subscribe { packet_id, filters, retained } => {
            let filters = filters.iter().map(|(path, qos)| Filter {
                retain_forward_rule: match retained {
                    true => RetainForwardRule::OnEverySubscribe,
                    // A retained request is a leftover, not a request.
                    false => RetainForwardRule::Never,
                },
                ..Filter::new(path.clone(), to_qos(*qos))
            });
            Packet::Subscribe(Subscribe { pkid: *packet_id, ..Subscribe::new_many(filters, None) })
        }
        ToBroker::Unsubscribe { packet_id, filters } => {
            Packet::Unsubscribe(Unsubscribe { pkid: *packet_id, filters: filters.clone(), properties: None })
        }
        ToBroker::Ping => Packet::PingReq(PingReq),
        ToBroker::Disconnect => Packet::Disconnect(Disconnect::new(DisconnectReasonCode::NormalDisconnection)),
        ToBroker::DisconnectWithWill => {
            Packet::Disconnect(Disconnect::new(DisconnectReasonCode::DisconnectWithWillMessage))
        }
    };
    packet.write(out, None).map(drop).map_err(CodecError::Write5)
}

pub(super) fn write_hello(hello: &Hello, out: &mut BytesMut) -> Result<(), CodecError> {
    let connect = Connect {
        keep_alive: hello.keep_alive_s,
        client_id: hello.client_id.clone(),
        clean_start: hello.manner.clean,
        properties: Some(ConnectProperties {
            session_expiry_interval: Some(if hello.manner.clean { 0 } else { SESSION_EXPIRY_S }),
            receive_maximum: Some(hello.receive_max),
            max_packet_size: Some(hello.max_packet),
            ..ConnectProperties::new()
        }),
    };
    let will = &hello.manner.will;
    let will = LastWill::new(will.topic.clone(), will.payload.to_vec(), to_qos(will.qos), will.retain, None);
    let password = || hello.password.clone().unwrap_or_default();
    let login = hello.username.as_ref().map(|username| Login { username: username.clone(), password: password() });
    connect.write(&Some(will), &login, out).map(drop).map_err(CodecError::Write5)
}

fn granted(session_present: bool, properties: Option<&ConnAckProperties>) -> Granted {
    Granted {
        session_present,
        receive_max: properties.and_then(|p| p.receive_max).unwrap_or(u16::MAX).max(1),
        max_packet: properties.and_then(|p| p.max_packet_size),
        max_qos: match properties.and_then(|p| p.max_qos) {
            Some(0) => Qos::AtMostOnce,
            Some(1) => Qos::AtLeastOnce,
            _ => Qos::ExactlyOnce,
        },
        keep_alive_s: properties.and_then(|p| p.server_keep_alive),
    }
}

fn inbound(publish: Publish) -> Result<Inbound, CodecError> {
    let topic = std::str::from_utf8(&publish.topic);
    let topic = topic.map_err(|_| CodecError::Read5(rumqttc::v5::mqttbytes::Error::TopicNotUtf8))?.to_owned();
    let properties = publish.properties.map_or_else(Properties::default, |given| Properties {
        content_type: given.content_type,
        response_topic: given.response_topic,
        correlation: given.correlation_data.map(|data| data.to_vec()),
        expiry_s: given.message_expiry_interval,
        user: given.user_properties,
    });
    Ok(Inbound {
        topic,
        payload: publish.payload,
        qos: from_qos(publish.qos),
        packet_id: publish.pkid,
        redelivered: publish.dup,
        retained: publish.retain,
        properties,
        oversized: None,
    })
}

fn publish(packet_id: u16, again: bool, message: &Outbound) -> Publish {
    let is_typed = !message.content_type.is_empty();
    Publish {
        dup: again,
        qos: to_qos(message.qos),
        retain: message.retain,
        topic: Bytes::copy_from_slice(message.topic.as_bytes()),
        pkid: packet_id,
        payload: message.payload.clone(),
        properties: Some(PublishProperties {
            // Only of what is text for certain.
            payload_format_indicator: (message.request.is_none() && is_typed).then_some(1),
            correlation_data: message.correlation.clone(),
            content_type: is_typed.then(|| message.content_type.clone().into_owned()),
            response_topic: message.request.as_ref().map(|request| request.response_topic.clone()),
            message_expiry_interval: message.request.as_ref().map(|request| request.expiry_s),
            user_properties: message.user.clone(),
            ..PublishProperties::default()
        }),
    }
}

fn subscribed(code: SubscribeReasonCode) -> Result<(), String> {
    match code {
        SubscribeReasonCode::Success(_) => Ok(()),
        refused => Err(format!("{refused:?}")),
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
