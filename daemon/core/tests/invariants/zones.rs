//! No byte goes beyond its zone: random faults over all layers, checked at the fake sites by a rule that is written here once
//! more and shares nothing with the core.

use std::collections::BTreeMap;
use std::time::Duration;

use edge_core::fallback::{Failure, Fallbacks, Step as Next};
use edge_core::policy::Routing;
use edge_core::sim::{Dice, Does, FakeModel, FakeSite, Sent, World};
use edge_core::*;

use crate::common::{meta, ms};
use crate::ledger::Ledger;

/// Worlds that are played.
const SCHEDULES: u64 = 10_000;
/// Things that happen in each.
const HAPPENINGS: u64 = 24;
/// Sites of each.
const SITES: u8 = 4;

const ZONES: [Zone; 4] = [Zone::Device, Zone::Premises, Zone::Region, Zone::Cloud];
const CLASSES: [DataClass; 3] = [DataClass::Regulated, DataClass::Internal, DataClass::Public];
const COUNTRIES: [&str; 3] = ["DE", "FR", "US"];

fn one_of<T: Copy>(dice: &mut Dice, all: &[T]) -> T {
    all[usize::try_from(dice.below(all.len() as u64)).unwrap()]
}

fn chance(dice: &mut Dice, percent: u64) -> bool {
    dice.below(100) < percent
}

fn size(dice: &mut Dice, below: u64) -> usize {
    usize::try_from(dice.below(below)).unwrap()
}

fn site(dice: &mut Dice) -> Site {
    let price = Price { request: NanoUsd(dice.below(10)), ..Price::default() };
    Site {
        jurisdiction: chance(dice, 70).then(|| Country::new(one_of(dice, &COUNTRIES)).unwrap()),
        retention: one_of(dice, &[Retention::None, Retention::Days(30), Retention::Unknown]),
        training: one_of(dice, &[Training::No, Training::Yes, Training::Unknown]),
        price: chance(dice, 80).then_some(price),
        budget: chance(dice, 30).then(|| NanoUsd(dice.below(60))),
        max_open: 1 + u16::try_from(dice.below(6)).unwrap(),
        identity: dice.below(2),
        may_hedge: chance(dice, 70),
        ..Site::in_zone(one_of(dice, &ZONES))
    }
}

fn fake(dice: &mut Dice, site: &Site) -> FakeSite {
    let fault = one_of(dice, &SiteFault::ALL);
    let does = match dice.below(10) {
        0..6 => Does::Answers,
        6..9 => Does::Fails(fault, chance(dice, 50)),
        _ => Does::Nothing,
    };
    let flaps = chance(dice, 20).then(|| ms(20 + dice.below(300)));
    let takes = (ms(1), ms(2 + dice.below(120)));
    FakeSite { takes, does, flaps, capacity: 1 + size(dice, 5), ..FakeSite::new(site.zone, ms(1)) }
}

fn table(dice: &mut Dice) -> Fallbacks {
    let step = |dice: &mut Dice| (!chance(dice, 20)).then(|| one_of(dice, &Next::ALL));
    Failure::ALL.into_iter().fold(Fallbacks::default(), |table, failure| {
        if chance(dice, 60) { table } else { table.with(failure, [step(dice), step(dice), step(dice)]) }
    })
}

fn policy(dice: &mut Dice, sites: Vec<Site>) -> Policy {
    Policy {
        max_waiting: 1 + size(dice, 12),
        default_deadline: Duration::from_millis(400),
        hang_after: Duration::from_millis(300),
        fan_out: 4,
        unlabelled: one_of(dice, &CLASSES),
        bus_ceiling: if chance(dice, 60) { DataClass::Public } else { one_of(dice, &CLASSES) },
        broker_ceiling: if chance(dice, 60) { DataClass::Public } else { one_of(dice, &CLASSES) },
        sites,
        routing: Routing {
            fallbacks: table(dice),
            max_deferred: one_of(dice, &[0, 2, 20]),
            defer_after: Duration::from_millis(dice.below(200)),
            seed: dice.below(1000),
            sure: Ratio::HALF,
            ..Routing::default()
        },
        ..Policy::default()
    }
}

fn terms(dice: &mut Dice) -> Terms {
    let mut jurisdictions = [None; Demands::COUNTRIES];
    if chance(dice, 20) {
        jurisdictions[0] = Country::new(one_of(dice, &["DE", "EU", "US"]));
    }
    let sites = |dice: &mut Dice| Sites::from_bits(u32::try_from(dice.below(16)).unwrap());
    Terms {
        ceiling: if chance(dice, 70) { DataClass::Public } else { one_of(dice, &CLASSES) },
        freed: chance(dice, 15).then(|| one_of(dice, &CLASSES)),
        capable: if chance(dice, 80) { Sites::ALL } else { sites(dice) },
        rejected: if chance(dice, 90) { Sites::NONE } else { sites(dice) },
        allowed: if chance(dice, 70) { Sites::ALL } else { sites(dice) },
        demands: Demands {
            jurisdictions,
            retention_days: chance(dice, 15).then(|| one_of(dice, &[0, 30])),
            no_training: chance(dice, 15),
        },
        objective: one_of(dice, &[Objective::CheapestWithinSlo, Objective::FastestWithinBudget]),
        may_hedge: chance(dice, 50),
        tokens: if chance(dice, 20) { Tokens { input: 50, output: 20 } } else { Tokens::default() },
        here: if chance(dice, 80) { Here::Yes } else { one_of(dice, &[Here::NoModel, Here::Context, Here::Elsewhere]) },
        stronger: if chance(dice, 40) { Sites::ALL } else { Sites::NONE },
        difficulty: one_of(dice, &[Difficulty::Unrated, Difficulty::Easy, Difficulty::Hard, Difficulty::Unknown]),
        checked: chance(dice, 30),
    }
}

fn request(dice: &mut Dice, id: u64, now: Mono) -> RequestMeta {
    let claim = match dice.below(10) {
        0 => ClassClaim::Unknown,
        1..3 => ClassClaim::Unlabelled,
        _ => ClassClaim::Claimed(one_of(dice, &CLASSES)),
    };
    let rows = if chance(dice, 10) { 40 } else { 1 };
    RequestMeta {
        deadline: Some(ms(20 + dice.below(800)).from(now)),
        class: claim,
        origin: one_of(dice, &[Origin::Bus, Origin::Broker]),
        priority: one_of(dice, &Priority::ALL),
        deferrable: chance(dice, 25),
        work: one_of(dice, &[Work::Tensors, Work::Encoded]),
        cost: Cost::new(rows),
        most_rows: (rows > 1).then_some(8),
        deaths: u8::from(chance(dice, 5)) + u8::from(chance(dice, 3)),
        terms: terms(dice),
        ..meta(id, u32::try_from(dice.below(3)).unwrap(), u16::try_from(dice.below(3)).unwrap())
    }
}

/// The policies that held, in order.
type Held = Vec<Policy>;

/// How far a payload may go by the policy: the rule of the contract, written down once more.
fn farthest(meta: &RequestMeta, policy: &Policy) -> Zone {
    let rank = |class: DataClass| CLASSES.iter().position(|it| *it == class).unwrap();
    let claimed = match meta.class {
        ClassClaim::Claimed(class) => rank(class),
        ClassClaim::Unlabelled => rank(policy.unlabelled),
        ClassClaim::Unknown => 0,
    };
    let ceiling = if meta.origin == Origin::Bus { policy.bus_ceiling } else { policy.broker_ceiling };
    // What a rule had taken out of it may free it, below the same ceilings.
    let claimed = meta.terms.freed.map_or(claimed, |freed| claimed.max(rank(freed)));
    match [claimed, rank(ceiling), rank(meta.terms.ceiling)].into_iter().min() {
        Some(2) => Zone::Cloud,
        Some(1) => Zone::Premises,
        _ => Zone::Device,
    }
}

fn may_hold(meta: &RequestMeta, id: SiteId, policy: &Policy) -> Result<(), String> {
    let Some(site) = policy.sites.get(usize::from(id.0)) else { return Err("no such site".into()) };
    let far = |zone: Zone| ZONES.iter().position(|it| *it == zone).unwrap();
    if far(site.zone) > far(farthest(meta, policy)) {
        return Err(format!("{:?} may reach {:?}, not {:?}", meta.class, farthest(meta, policy), site.zone));
    }
    let demands = &meta.terms.demands;
    if let Some(wanted) = demands.jurisdictions[0] {
        let lies = site.jurisdiction.map(|it| it.as_str().to_owned()).unwrap_or_default();
        let in_union = wanted.as_str() == "EU" && ["DE", "FR"].contains(&lies.as_str());
        if lies != wanted.as_str() && !in_union {
            return Err(format!("in {lies}, not in {}", wanted.as_str()));
        }
    }
    let days = match site.retention {
        Retention::None => 0,
        Retention::Days(days) => days,
        Retention::Unknown => u16::MAX,
    };
    if demands.retention_days.is_some_and(|most| days > most) {
        return Err("kept for too long".into());
    }
    if demands.no_training && site.training != Training::No {
        return Err("it learns from it".into());
    }
    if meta.terms.allowed.bits() >> id.0 & 1 == 0 || meta.terms.capable.bits() >> id.0 & 1 == 0 {
        return Err("kept from it by a rule".into());
    }
    Ok(())
}

/// Each payload that reached a site, held against the policy of that moment, and against every ceiling since it arrived.
fn check(world: &World) -> Result<usize, String> {
    let reached: BTreeMap<(RequestId, SiteId), Sent> =
        world.away.sent().iter().map(|sent| ((sent.id, sent.site), *sent)).collect();
    let (mut policies, mut came) = (Vec::new(), BTreeMap::new());
    for step in world.log() {
        match &step.event {
            Event::Policy(policy) => policies.push(policy),
            Event::Arrived(meta) | Event::ParentArrived { meta, .. } => {
                came.entry(meta.id).or_insert((policies.len() - 1, meta));
            }
            _ => {}
        }
        for action in &step.actions {
            let Action::Spill { id, site, .. } = action else { continue };
            let (Some(sent), Some((since, meta))) = (reached.get(&(*id, *site)), came.get(id)) else { continue };
            may_hold(meta, *site, policies[policies.len() - 1]).map_err(|why| format!("{sent:?}: {why}"))?;
            // Nor does it get what was meant for another site in its place.
            let whose = |policy: &Policy| Some(policy.sites.get(usize::from(site.0))?.identity);
            let first = whose(policies[*since]);
            let others = || policies[*since..].iter().filter_map(|policy| whose(policy));
            if first.is_none() || others().any(|other| Some(other) != first) {
                return Err(format!("{sent:?}: another site had this place when it came"));
            }
            // A ceiling that fell in between holds, even if it was lifted again; and a site is where the fake says that it is.
            let strictest = policies[*since..].iter().map(|policy| farthest(meta, policy)).min();
            if strictest.is_some_and(|zone| sent.zone > zone) {
                return Err(format!("{sent:?}: beyond {strictest:?}"));
            }
        }
    }
    Ok(reached.len())
}

fn set_policy(world: &mut World, dice: &mut Dice, held: &mut Held, policy: Policy) {
    for (place, site) in (0..SITES).zip(&policy.sites) {
        world.site(place, fake(dice, site));
    }
    held.push(policy);
}

/// One world of which everything follows from the seed.
fn play(seed: u64) -> (World, Held, Vec<String>) {
    let mut dice = Dice::new(seed);
    let sites: Vec<Site> = (0..SITES).map(|_| site(&mut dice)).collect();
    let policy_now = policy(&mut dice, sites);
    let ledger = std::rc::Rc::new(std::cell::RefCell::new((Ledger::new(policy_now.clone()), Vec::new())));
    let mut world = World::new(policy_now.clone());
    let seen = std::rc::Rc::clone(&ledger);
    world.observe(move |core, step| {
        let (ledger, faults) = &mut *seen.borrow_mut();
        if let Err(what) = ledger.check(core, step) {
            faults.push(format!("{what}, with seed {seed}, in:\n{}", step.text()));
        }
    });
    let mut held = Held::new();
    set_policy(&mut world, &mut dice, &mut held, policy_now);
    world.away.seed(seed);
    world.away.disk_room = 6;
    for model in 0..2 {
        world.load(model, FakeModel { decode: ms(2), ..FakeModel::new(model * 8, 1, ms(5 + dice.below(60))) });
    }
    for id in 1..=HAPPENINGS {
        happen(&mut world, &mut dice, &mut held, id);
    }
    world.tell(Event::Resume);
    world.run_out();
    let (ledger, mut faults) = ledger.take();
    faults.extend(ledger.live.iter().map(|id| format!("never settled: {id:?}, with seed {seed}")));
    (world, held, faults)
}

fn happen(world: &mut World, dice: &mut Dice, held: &mut Held, id: u64) {
    match dice.below(24) {
        0..14 => {
            let meta = request(dice, id, world.now());
            if chance(dice, 10) {
                world.faulty.insert(meta.id);
            }
            if chance(dice, 4) {
                world.poison.insert(meta.id);
            }
            if chance(dice, 30) {
                world.away.doubtful.insert(meta.id);
            }
            if chance(dice, 10) {
                let stages = [(ModelId(0), 1), (ModelId(1), 2)];
                world.arrive_in_stages(RequestMeta { work: Work::Encoded, model: ModelId(7), ..meta }, &stages);
            } else {
                world.arrive(meta);
            }
        }
        14..18 => world.run_for(ms(dice.below(150))),
        18 => {
            let last = held.last().unwrap().clone();
            let mut sites = last.sites.clone();
            match dice.below(4) {
                0 => drop(sites.pop()),
                1 if sites.len() < usize::from(SITES) => sites.push(site(dice)),
                2 if !sites.is_empty() => sites[0] = site(dice),
                _ => {}
            }
            let next = policy(dice, sites);
            set_policy(world, dice, held, next.clone());
            world.tell(Event::Policy(Box::new(next)));
        }
        19 => world.kill_host(),
        20 => {
            // Something ends, or everything does.
            match dice.below(4) {
                0 => world.tell(Event::ClientLeft { client: ClientId(u32::try_from(dice.below(3)).unwrap()) }),
                1 => world.tell(Event::CutOff { id: RequestId(dice.below(id)) }),
                _ => world.tell(Event::Cancelled { id: RequestId(dice.below(id)) }),
            }
        }
        21 => world.tell(Event::Held(chance(dice, 40))),
        22 => match dice.below(4) {
            0 => world.tell(Event::Drain),
            1 => world.unload(1),
            2 => world.load(1, FakeModel::new(8, 1, ms(20))),
            _ => world.tell(Event::Resume),
        },
        _ => {
            let (site, off) = (SiteId(u8::try_from(dice.below(4)).unwrap()), chance(dice, 50));
            world.tell(Event::SiteLoad { site, off, wait: Duration::from_millis(dice.below(50)) });
            world.tell(Event::Spent { site, today: NanoUsd(dice.below(40)) });
        }
    }
}

#[test]
fn invariant_6_no_byte_goes_beyond_its_zone() {
    let (mut sent, mut beyond, mut broken) = (0, Vec::new(), Vec::new());
    for seed in 0..SCHEDULES {
        let (world, _, faults) = play(seed);
        broken.extend(faults.into_iter().next());
        match check(&world) {
            Ok(count) => sent += count,
            Err(what) => beyond.push((seed, what)),
        }
    }
    assert_eq!(beyond.len(), 0, "of {sent} payloads that were sent; the first: {:?}", beyond.first());
    assert!(broken.is_empty(), "{} worlds break a rule:\n{}", broken.len(), broken[..broken.len().min(8)].join("\n\n"));
    assert!(sent > usize::try_from(SCHEDULES).unwrap(), "only {sent} payloads were sent");
}

#[test]
fn invariant_9_holds_with_sites_too() {
    for seed in 0..SCHEDULES / 50 {
        let (world, held, _) = play(seed);
        let mut core = Scheduler::new(held[0].clone());
        for step in &world.log()[1..] {
            core.handle(step.at, step.event.clone());
            let actions: Vec<Action> = std::iter::from_fn(|| core.poll_action()).collect();
            assert_eq!(actions, step.actions, "seed {seed} at {:?}: {:?}", step.at, step.event);
        }
    }
}

#[test]
fn invariant_1_every_request_ends_once_with_sites_too() {
    for seed in 0..SCHEDULES / 50 {
        let (world, ..) = play(seed);
        for meta in world.arrived() {
            let ends = world.settlements().get(&meta.id).map_or(0, Vec::len);
            assert_eq!(ends, 1, "seed {seed}: request {} ended {ends} times", meta.id.0);
        }
    }
}
