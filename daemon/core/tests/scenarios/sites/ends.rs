//! A request that is away ends once, whatever happens, and nobody is left at it.

use super::*;

/// A request that a site swallows.
fn swallowed() -> World {
    let mut world = world_of(policy(&[cloud(), cloud()]), 10);
    does(&mut world, 0, Does::Nothing);
    world.arrive(only_there(1, 1000));
    world.run_for(ms(5));
    assert_eq!(world.core().snapshot().away, 1);
    world
}

#[test]
fn whoever_does_not_want_it_any_more_ends_it_and_the_site_is_called_off() {
    let id = RequestId(1);
    for (event, expected) in [
        (Event::Cancelled { id }, Outcome::Cancelled),
        (Event::ClientLeft { client: ClientId(1) }, Outcome::Cancelled),
        (Event::CutOff { id }, Outcome::Shed(Reason::Draining)),
    ] {
        let mut world = swallowed();
        world.tell(event.clone());
        assert_eq!((world.outcome(1), called_off(&world, 1)), (Some(expected), 1), "{event:?}");
        world.run_out();
        assert_eq!(world.settlements()[&id].len(), 1, "{event:?}");
        let snapshot = world.core().snapshot();
        assert_eq!((snapshot.away, snapshot.sites[0].open), (0, 0), "{event:?}");
    }
}

#[test]
fn its_deadline_ends_it_and_counts_against_the_site() {
    let mut world = swallowed();
    world.run_out();
    assert_eq!((world.outcome(1), world.ended(1), called_off(&world, 1)), (Some(Outcome::Expired), Some(at(1000)), 1));
    let site = &world.core().snapshot().sites[0];
    assert_eq!((site.failed, site.last_fault, site.open), (1, Some(SiteFault::Timeout), 0));
}

#[test]
fn a_drain_waits_for_what_is_away() {
    let mut world = world_of(policy(&[cloud()]), 10);
    world.arrive(only_there(1, 1000));
    world.tell(Event::Drain);
    world.arrive(only_there(2, 1000));
    assert!(!world.announced().contains(&Change::Drained));
    world.run_for(ms(50));
    assert_eq!((world.outcome(1), refusal(&world, 2).reason), (spilled(0), Reason::Draining));
    assert!(world.announced().contains(&Change::Drained));
}

#[test]
fn an_answer_that_comes_after_the_end_changes_nothing() {
    let mut world = swallowed();
    world.tell(Event::Cancelled { id: RequestId(1) });
    let trip = |site| Trip {
        id: RequestId(1),
        site: SiteId(site),
        bytes: Bytes(1000),
        reserved: NanoUsd(0),
        result: Ok(Tokens::default()),
        sent: true,
        took: ms(5).duration(),
    };
    for site in [0, 1, 9, 255] {
        world.tell(Event::SiteDone(trip(site)));
    }
    assert_eq!(world.settlements()[&RequestId(1)].len(), 1);
}

#[test]
fn a_model_that_goes_away_hands_its_waiting_requests_to_sites_also_while_they_are_decoded() {
    let mut world = world_of(policy(&[cloud()]), 100);
    (10..14).for_each(|id| world.arrive(due(id, 10, 60_000)));
    world.arrive(encoded(to_any(1, 5000)));
    world.arrive(to_any(2, 5000));
    assert_eq!(world.core().snapshot().preparing, 1);
    world.unload(0);
    assert_eq!((spills(&world, 1).len(), spills(&world, 2).len()), (1, 1));
    world.run_out();
    assert_eq!((world.outcome(1), world.outcome(2)), (spilled(0), spilled(0)));
    assert_eq!(world.core().snapshot().preparing, 0);
}

#[test]
fn what_is_still_decoded_for_nobody_is_not_decoded_twice_at_once() {
    let mut world = world_of(policy(&[cloud()]), 100);
    world.load(0, FakeModel { decode: ms(500), ..model(100) });
    does(&mut world, 0, Does::Fails(SiteFault::Server, true));
    world.arrive(encoded(to_any(1, 5000)));
    world.tell(Event::ModelState { model: ModelId(0), state: ModelState::Unavailable });
    let lanes = LaneRange { first: LaneId(0), count: 2 };
    let state = ModelState::Ready { lanes, max_batch: 16, default_deadline: None };
    world.tell(Event::ModelState { model: ModelId(0), state });
    world.run_out();
    assert_eq!(count(&world, |action| matches!(action, Action::Prepare { .. })), 1);
    assert_eq!(world.outcome(1), Some(Outcome::Failed(Fault::Site)));
}
