//! What the core knows of a request: metadata only, never its payload or its reply channel.

use crate::id::{ClientId, ModelId, RequestId, ShareId};
use crate::units::{Bytes, Cost, Mono};

/// How far the data of a request may go. Ordered from the strictest to the freest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataClass {
    /// Stays on the device.
    Regulated,
    /// May reach the premises.
    Internal,
    /// May reach the cloud.
    Public,
}

impl DataClass {
    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            DataClass::Regulated => "regulated",
            DataClass::Internal => "internal",
            DataClass::Public => "public",
        }
    }

    /// The class called `word`, if there is one.
    pub fn from_word(word: &str) -> Option<DataClass> {
        [DataClass::Regulated, DataClass::Internal, DataClass::Public].into_iter().find(|class| class.as_str() == word)
    }

    /// The farthest zone that data of this class may reach.
    pub const fn farthest(self) -> Zone {
        match self {
            DataClass::Regulated => Zone::Device,
            DataClass::Internal => Zone::Premises,
            DataClass::Public => Zone::Cloud,
        }
    }
}

/// What the caller said about the class of its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClassClaim {
    /// Nothing: the policy's default applies.
    Unlabelled,
    /// A word that is no class: the strictest class applies, and the caller is told.
    Unknown,
    /// This class, up to the operator's ceiling for the source.
    Claimed(DataClass),
}

/// How far from the device a site is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Zone {
    /// This box.
    Device,
    /// The same premises.
    Premises,
    /// The same region.
    Region,
    /// Anywhere.
    Cloud,
}

impl Zone {
    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Zone::Device => "device",
            Zone::Premises => "premises",
            Zone::Region => "region",
            Zone::Cloud => "cloud",
        }
    }
}

/// What the caller asked of the order among waiting requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Before the others, but for what is reserved for them.
    High,
    /// The ordinary case.
    #[default]
    Normal,
    /// After the others, with a reserved share.
    Low,
}

impl Priority {
    /// All of them, the highest first.
    pub const ALL: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

    /// Where it is in [`Priority::ALL`].
    pub(crate) const fn index(self) -> usize {
        match self {
            Priority::High => 0,
            Priority::Normal => 1,
            Priority::Low => 2,
        }
    }

    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Priority::High => "high",
            Priority::Normal => "normal",
            Priority::Low => "low",
        }
    }

    /// The priority called `word`, if there is one.
    pub fn from_word(word: &str) -> Option<Priority> {
        Priority::ALL.into_iter().find(|priority| priority.as_str() == word)
    }
}

/// Where a request came in. Decides ceilings, never the verdict itself (transports are interchangeable).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// D-Bus, or a private peer connection handed out over it.
    Bus,
    /// The MQTT broker, which has seen the payload already.
    Broker,
}

impl Origin {
    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Origin::Bus => "bus",
            Origin::Broker => "broker",
        }
    }
}

/// What has to be done before the model can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// Named tensors: ready to run.
    Tensors,
    /// One encoded payload: has to be decoded into tensors first.
    Encoded,
}

/// One request as the core sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestMeta {
    /// The driver's name for it.
    pub id: RequestId,
    /// The request that this one is a stage or a chunk of; client, share, priority, deadline and deaths are then its.
    pub parent: Option<RequestId>,
    /// Who asks.
    pub client: ClientId,
    /// Whose turn it takes.
    pub share: ShareId,
    /// Which model.
    pub model: ModelId,
    /// When the reply loses its value. `None`: the policy's default for the model applies.
    pub deadline: Option<Mono>,
    /// What the caller said of its data.
    pub class: ClassClaim,
    /// What the caller asked of the order.
    pub priority: Priority,
    /// May wait for capacity instead of being refused.
    pub deferrable: bool,
    /// Size of the payload as it came in.
    pub bytes: Bytes,
    /// Where it came in.
    pub origin: Origin,
    /// Whether it has to be decoded first.
    pub work: Work,
    /// Cost of tensors, as their batch tells; for encoded work the decoder finds it.
    pub cost: Cost,
    /// Of tensors whose rows may run apart from each other, how many of them may run at once at most; `None` if it runs as it is.
    pub most_rows: Option<u32>,
    /// How often it was alive when a daemon or an engine host died. Two means: never run it again.
    pub deaths: u8,
}
