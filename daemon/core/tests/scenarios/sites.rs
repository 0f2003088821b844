//! Requests that other sites serve: who goes where and when, and what follows when a place does not serve.

mod begun;
mod budget;
mod confine;
mod disk;
mod ends;
mod escalate;
mod fallbacks;
mod hedge;
mod places;
mod reload;
mod spill;
mod waits;

use edge_core::fallback::{Failure, Fallbacks, Step as Next, Steps};
use edge_core::policy::Routing;
use edge_core::sim::{Does, FakeSite};

use super::*;

/// A policy with these sites whose callers may let their data go anywhere.
fn policy(sites: &[Site]) -> Policy {
    let routing = Routing { max_deferred: 100, ..Routing::default() };
    Policy { unlabelled: DataClass::Public, sites: sites.to_vec(), routing, ..small_policy() }
}

fn with_steps(sites: &[Site], failure: Failure, steps: Steps) -> Policy {
    let policy = policy(sites);
    let fallbacks = Fallbacks::default().with(failure, steps);
    Policy { routing: Routing { fallbacks, ..policy.routing }, ..policy }
}

/// A world with model 0, which takes `each` ms on two lanes, and with these sites, each of which answers in 20 ms and is known to.
fn world_of(policy: Policy, each: u64) -> World {
    let sites = policy.sites.clone();
    let mut world = super::world_with(policy, each);
    for (place, site) in (0..).zip(&sites) {
        world.site(place, FakeSite::new(site.zone, ms(20)));
        warm(&mut world, place, 20);
    }
    world
}

/// So many answers of a site after `took` that all that is known of it is that.
fn warm(world: &mut World, site: u8, took: u64) {
    for id in 0..200 {
        world.tell(Event::SiteDone(Trip {
            id: RequestId((1 << 50) + id),
            site: SiteId(site),
            bytes: Bytes(1000),
            reserved: NanoUsd(0),
            result: Ok(Tokens::default()),
            sent: true,
            took: ms(took).duration(),
        }));
    }
}

fn cloud() -> Site {
    Site::in_zone(Zone::Cloud)
}

fn premises() -> Site {
    Site::in_zone(Zone::Premises)
}

/// A request until `deadline` (ms since the start) that every site serves.
fn to_any(id: u64, deadline: u64) -> RequestMeta {
    let client = u32::try_from(id).unwrap();
    RequestMeta { terms: Terms { capable: Sites::ALL, ..Terms::default() }, ..due(id, client, deadline) }
}

fn with_terms(meta: RequestMeta, change: impl FnOnce(&mut Terms)) -> RequestMeta {
    let mut terms = meta.terms;
    change(&mut terms);
    RequestMeta { terms, ..meta }
}

/// A request whose model lives on sites only.
fn only_there(id: u64, deadline: u64) -> RequestMeta {
    with_terms(RequestMeta { model: ModelId(5), ..to_any(id, deadline) }, |terms| terms.here = Here::NoModel)
}

fn verdict(world: &World, id: u64) -> Option<Verdict> {
    world.log().iter().flat_map(|step| &step.actions).find_map(|action| match action {
        Action::Accept { id: of, verdict, .. } if of.0 == id => Some(*verdict),
        _ => None,
    })
}

/// Where a request was sent and why, in order.
fn spills(world: &World, id: u64) -> Vec<(u8, Reason)> {
    let actions = world.log().iter().flat_map(|step| &step.actions);
    actions
        .filter_map(|action| match action {
            Action::Spill { id: of, site, reason, .. } if of.0 == id => Some((site.0, *reason)),
            _ => None,
        })
        .collect()
}

fn stays(world: &World, id: u64) -> Vec<Reason> {
    let actions = world.log().iter().flat_map(|step| &step.actions);
    actions
        .filter_map(|action| match action {
            Action::Stay { id: of, reason } if of.0 == id => Some(*reason),
            _ => None,
        })
        .collect()
}

fn called_off(world: &World, id: u64) -> usize {
    count(world, |action| matches!(action, Action::CallOff { id: of, .. } if of.0 == id))
}

fn spilled(site: u8) -> Option<Outcome> {
    Some(Outcome::Spilled(SiteId(site)))
}

fn does(world: &mut World, site: u8, does: Does) {
    world.away.sites.get_mut(&SiteId(site)).unwrap().does = does;
}

/// Fills both lanes and the queue with what comes first, so that a request due within some seconds is not in time.
fn fill(world: &mut World) {
    let urgent = |id| RequestMeta { priority: Priority::High, ..due(id, u32::try_from(id).unwrap(), 60_000) };
    (900..912).for_each(|id| world.arrive(urgent(id)));
}

fn counted(world: &World, failure: Failure, step: Option<Next>) -> u64 {
    world.core().snapshot().fallbacks.get(failure, step)
}
