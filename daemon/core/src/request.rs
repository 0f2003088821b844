//! What the core knows of a request: metadata only, never its payload or its reply channel.

use crate::id::{ClientId, ModelId, RequestId, ShareId};
use crate::site::{Demands, Sites, Tokens};
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
    /// Where it may be served, by the operator's rules and by what was found in it.
    pub terms: Terms,
}

/// Where a request may be served. Made by the shell from the operator's rules, which know names, and from the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Freest class that it may have: the strictest of the rules that speak of it, and of what was found in its payload.
    pub ceiling: DataClass,
    /// What is sent is of this class, as a rule of the operator had what was found taken out of it; never beyond `ceiling`.
    pub freed: Option<DataClass>,
    /// Sites that serve its model in this form.
    pub capable: Sites,
    /// Sites that have said of it what they would say again: they are not asked for it.
    pub rejected: Sites,
    /// Sites that the rules let it go to.
    pub allowed: Sites,
    /// What the rules demand of a site.
    pub demands: Demands,
    /// What is sought among places that are all in time.
    pub objective: Objective,
    /// A second site may be asked when the first one is late.
    pub may_hedge: bool,
    /// What is to be read and written, of a language model.
    pub tokens: Tokens,
    /// May be served by this box.
    pub here: Here,
    /// Sites whose answers are better than this box's.
    pub stronger: Sites,
    /// Whether a stronger site is worth asking.
    pub difficulty: Difficulty,
    /// An answer of this box is looked at before it is given, and a stronger site is asked if it is doubtful.
    pub checked: bool,
}

impl Default for Terms {
    /// Of a request that nobody but this box serves.
    fn default() -> Terms {
        Terms {
            ceiling: DataClass::Public,
            freed: None,
            capable: Sites::NONE,
            rejected: Sites::NONE,
            allowed: Sites::ALL,
            demands: Demands::default(),
            objective: Objective::CheapestWithinSlo,
            may_hedge: false,
            tokens: Tokens::default(),
            here: Here::Yes,
            stronger: Sites::NONE,
            difficulty: Difficulty::Unrated,
            checked: false,
        }
    }
}

/// What is sought among places that are all in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Objective {
    /// The cheapest one; this box costs nothing.
    #[default]
    CheapestWithinSlo,
    /// The fastest one whose budget is not spent.
    FastestWithinBudget,
}

impl Objective {
    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Objective::CheapestWithinSlo => "cheapest_within_slo",
            Objective::FastestWithinBudget => "fastest_within_budget",
        }
    }

    /// The objective called `word`, if there is one.
    pub fn from_word(word: &str) -> Option<Objective> {
        [Objective::CheapestWithinSlo, Objective::FastestWithinBudget].into_iter().find(|it| it.as_str() == word)
    }
}

/// Whether this box may serve a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Here {
    /// It may.
    #[default]
    Yes,
    /// Its model lives on other sites only.
    NoModel,
    /// It is longer than the model of this box can read.
    Context,
    /// It is meant for other sites: a comparison with the answer of this box.
    Elsewhere,
}

/// How likely a stronger site would answer better, where somebody learnt to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Difficulty {
    /// Nobody asked.
    #[default]
    Unrated,
    /// Below the threshold that was found safe.
    Easy,
    /// At or above it.
    Hard,
    /// Of a kind that was not learnt, or nothing was found safe: it counts as hard.
    Unknown,
}

impl Difficulty {
    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Difficulty::Unrated => "unrated",
            Difficulty::Easy => "easy",
            Difficulty::Hard => "hard",
            Difficulty::Unknown => "unknown",
        }
    }
}
