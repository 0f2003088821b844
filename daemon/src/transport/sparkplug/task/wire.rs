//! The node's packets as those of MQTT, and how its connections begin.

use bytes::Bytes;

use crate::config::MqttConfig;
use crate::transport::mqtt::packet::{self, Manner, Outbound, Qos, ToBroker};
use crate::transport::sparkplug::node::{Packet, Will};
use crate::transport::sparkplug::topic::Topics;

/// What the client id of this connection has behind that of the other.
const ENDING: &str = "-spb";

/// The brokers that the node goes to, each with the client id of this connection.
pub fn servers(mqtt: MqttConfig) -> Vec<MqttConfig> {
    let client_id = format!("{}{ENDING}", mqtt.client_id);
    let mqtt = MqttConfig { client_id, ..mqtt };
    (0..=mqtt.fallback.len()).map(|place| mqtt.at(place)).collect()
}

/// The broker keeps nothing of this connection, and says the death of the node when it ends.
pub fn manner(Will { topic, payload }: Will) -> Manner {
    let will = packet::Will { topic, payload: payload.into(), qos: Qos::AtLeastOnce, retain: false };
    Manner { will, clean: true }
}

pub fn to_broker(packet: Packet, topics: &Topics, last_id: &mut u16) -> ToBroker {
    let mut packet_id = || {
        *last_id = last_id.wrapping_add(1).max(1);
        *last_id
    };
    match packet {
        Packet::Subscribe(filters) => {
            let filters = filters.into_iter().map(|filter| (filter, Qos::AtLeastOnce)).collect();
            ToBroker::Subscribe { packet_id: packet_id(), filters, retained: true }
        }
        Packet::Publish { topic, payload } => {
            ToBroker::Publish { packet_id: 0, again: false, message: message(topic, payload, Qos::AtMostOnce) }
        }
        Packet::Death(Will { topic, payload }) => ToBroker::Publish {
            packet_id: packet_id(),
            again: false,
            message: message(topic, payload, Qos::AtLeastOnce),
        },
        // Nobody ever subscribes to this one, and a broker answers all the same.
        Packet::Fence => {
            ToBroker::Unsubscribe { packet_id: packet_id(), filters: vec![format!("{}/-", topics.node_commands())] }
        }
        Packet::Disconnect => ToBroker::DisconnectWithWill,
    }
}

fn message(topic: String, payload: Vec<u8>, qos: Qos) -> Outbound {
    Outbound { topic, payload: Bytes::from(payload), qos, ..Outbound::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(packet: Packet) -> ToBroker {
        to_broker(packet, &Topics::new("plant", "box"), &mut u16::MAX.clone())
    }

    #[test]
    fn births_data_and_deaths_of_devices_have_qos_0_and_are_not_retained() {
        let packet = sent(Packet::Publish { topic: "t".into(), payload: vec![1] });
        let ToBroker::Publish { packet_id, again, message } = packet else { panic!("{packet:?}") };
        assert_eq!((packet_id, again, message.qos, message.retain), (0, false, Qos::AtMostOnce, false));
        assert_eq!((message.topic.as_str(), &message.payload[..], &*message.content_type), ("t", &[1][..], ""));
    }

    #[test]
    fn the_will_has_qos_1_and_is_not_retained_and_the_session_is_clean() {
        let Manner { will, clean } = manner(Will { topic: "t".into(), payload: vec![1] });
        assert_eq!((will.qos, will.retain, clean), (Qos::AtLeastOnce, false, true));
        assert_eq!((will.topic.as_str(), &will.payload[..]), ("t", &[1][..]));
    }

    #[test]
    fn the_death_that_is_said_has_qos_1_and_the_last_packet_asks_for_the_will() {
        let packet = sent(Packet::Death(Will { topic: "t".into(), payload: vec![1] }));
        let ToBroker::Publish { packet_id, message, .. } = packet else { panic!("{packet:?}") };
        assert_eq!((packet_id, message.qos, message.retain), (1, Qos::AtLeastOnce, false));
        assert_eq!(sent(Packet::Disconnect), ToBroker::DisconnectWithWill);
    }

    #[test]
    fn commands_and_words_of_hosts_are_subscribed_to_with_qos_1_and_what_is_kept_is_wanted() {
        let packet = sent(Packet::Subscribe(vec!["a".into()]));
        let filters = vec![("a".to_owned(), Qos::AtLeastOnce)];
        assert_eq!(packet, ToBroker::Subscribe { packet_id: 1, filters, retained: true });
    }

    #[test]
    fn the_question_to_the_broker_changes_no_subscription() {
        let packet = sent(Packet::Fence);
        let ToBroker::Unsubscribe { filters, .. } = packet else { panic!("{packet:?}") };
        assert_eq!(filters, ["spBv1.0/plant/NCMD/box/-"]);
    }

    #[test]
    fn the_connection_has_a_client_id_of_its_own() {
        let mut values = crate::config::raw::Values::default();
        values.add(std::path::Path::new("t"), "[mqtt]\nhost = 'b'\nclient_id = 'edged-a'");
        let config = crate::config::validate::validate(values, &Default::default()).unwrap();
        let servers = servers(config.mqtt.unwrap());
        assert_eq!(servers[0].client_id, "edged-a-spb");
    }
}
