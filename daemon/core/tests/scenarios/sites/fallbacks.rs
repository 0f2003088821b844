//! What is tried next when a place does not serve: each failure with each step, each counted; and the breaker.

use super::*;

/// What makes a request fail in each of the ways, and the request.
fn failing(policy: Policy, failure: Failure) -> World {
    let waits = policy.routing.fallbacks.after(failure).eq([Next::Wait]);
    let mut world = world_of(policy, 100);
    let request = RequestMeta { deferrable: true, ..to_any(1, 5000) };
    match failure {
        Failure::OutOfMemory => {
            let id = RequestId(1);
            world.arrive(encoded(request));
            world.tell(Event::Prepared { id, result: Err(Fault::Full), took: Duration::ZERO });
        }
        Failure::Heat => {
            world.tell(Event::Held(true));
            // One that may wait does so in the end, here if nowhere else.
            world.arrive(RequestMeta { deferrable: waits, ..request });
        }
        Failure::ContextOverflow => world.arrive(with_terms(request, |terms| terms.here = Here::Context)),
        Failure::EngineFault => {
            world.faulty.insert(RequestId(1));
            world.arrive(request);
        }
        Failure::QueueFull => {
            (500..600).for_each(|id| world.arrive(due(id, u32::try_from(id).unwrap(), 60_000)));
            world.arrive(RequestMeta { deadline: Some(at(60_000)), ..request });
        }
        Failure::SiteDown => {
            does(&mut world, 0, Does::Fails(SiteFault::Server, true));
            // Only the first site may have it at first.
            world.arrive(with_terms(request, |terms| {
                (terms.difficulty, terms.stronger) = (Difficulty::Hard, Sites::from_bits(1));
            }));
        }
        Failure::BudgetSpent => panic!("in a test of its own"),
    }
    world.run_for(ms(150));
    world
}

/// What became of it.
fn place(world: &World) -> Option<Next> {
    match world.log().iter().flat_map(|step| &step.actions).rfind(|action| {
        matches!(action, Action::Settle { id: RequestId(1), .. } | Action::Stay { id: RequestId(1), .. })
    })? {
        Action::Settle { outcome: Outcome::Spilled(_), .. } => Some(Next::Site),
        Action::Settle { outcome: Outcome::Deferred(_), .. } => Some(Next::Wait),
        Action::Settle { outcome: Outcome::Done, .. } | Action::Stay { .. } => Some(Next::Here),
        _ => None,
    }
}

#[test]
fn each_failure_is_followed_by_the_step_that_is_configured_and_counted() {
    let two = [cloud(), cloud()];
    for failure in Failure::ALL.into_iter().filter(|failure| *failure != Failure::BudgetSpent) {
        for step in [Some(Next::Site), Some(Next::Wait), None] {
            let world = failing(with_steps(&two, failure, [step, None, None]), failure);
            assert_eq!(place(&world), step, "{failure:?} with {step:?}: {:?}", world.outcome(1));
            assert!(
                counted(&world, failure, step) >= 1,
                "{failure:?} with {step:?}: {:?}",
                world.core().snapshot().fallbacks
            );
        }
    }
    let here = failing(with_steps(&two, Failure::SiteDown, [Some(Next::Here), None, None]), Failure::SiteDown);
    assert_eq!((place(&here), counted(&here, Failure::SiteDown, Some(Next::Here))), (Some(Next::Here), 1));
}

#[test]
fn a_step_that_is_not_possible_is_passed_over() {
    // It failed here: this box is no answer to that.
    let steps = [Some(Next::Here), Some(Next::Wait), Some(Next::Site)];
    let world = failing(with_steps(&[cloud()], Failure::EngineFault, steps), Failure::EngineFault);
    assert_eq!(place(&world), Some(Next::Wait));
    let policy = with_steps(&[cloud()], Failure::EngineFault, steps);
    let full = Policy { routing: Routing { max_deferred: 0, ..policy.routing }, ..policy };
    assert_eq!(place(&failing(full, Failure::EngineFault)), Some(Next::Site));
}

#[test]
fn a_site_that_fails_is_followed_by_another_then_this_box_then_no() {
    let three = [cloud(), cloud(), cloud()];
    let fails = |world: &mut World, sites: std::ops::Range<u8>| {
        sites.for_each(|site| does(world, site, Does::Fails(SiteFault::Server, true)));
    };
    let mut world = world_of(policy(&three), 100);
    fails(&mut world, 0..2);
    world.tell(Event::Held(true));
    world.arrive(to_any(1, 5000));
    world.tell(Event::Held(false));
    world.run_out();
    let why: Vec<Reason> = spills(&world, 1).iter().map(|spill| spill.1).collect();
    assert_eq!((why, world.outcome(1)), (vec![Reason::Held, Reason::SiteDown, Reason::SiteDown], spilled(2)));

    let mut world = world_of(policy(&three), 100);
    fails(&mut world, 0..3);
    world.tell(Event::Held(true));
    world.arrive(to_any(1, 5000));
    world.tell(Event::Held(false));
    world.run_out();
    assert_eq!((spills(&world, 1).len(), stays(&world, 1)), (3, vec![Reason::SiteDown]));
    assert_eq!(world.outcome(1), Some(Outcome::Done), "the box serves it after all");

    let mut world = world_of(policy(&three), 100);
    fails(&mut world, 0..3);
    world.arrive(only_there(1, 5000));
    world.run_out();
    assert_eq!((spills(&world, 1).len(), world.outcome(1)), (3, Some(Outcome::Failed(Fault::Site))));
}

#[test]
fn every_fault_of_a_site_leads_to_the_next_one_and_nothing_is_lost() {
    for fault in SiteFault::ALL {
        for sent in [false, true] {
            let mut world = world_of(policy(&[cloud(), cloud()]), 100);
            does(&mut world, 0, Does::Fails(fault, sent));
            world.arrive(only_there(1, 5000));
            world.run_out();
            let expected = match fault {
                // What nobody can serve is asked of nobody else.
                SiteFault::Invalid => Some(Outcome::Failed(Fault::InvalidInput)),
                SiteFault::Oversized => Some(Outcome::Failed(Fault::TooLarge)),
                _ => spilled(1),
            };
            assert_eq!(world.outcome(1), expected, "{fault:?} {sent}");
        }
    }
}

#[test]
fn what_failed_on_the_runtime_here_is_served_elsewhere_and_leaves_nothing_behind() {
    let mut world = world_of(policy(&[cloud()]), 10);
    world.faulty.insert(RequestId(1));
    world.arrive(encoded(to_any(1, 5000)));
    world.run_out();
    assert_eq!((spills(&world, 1), world.outcome(1)), (vec![(0, Reason::EngineFault)], spilled(0)));
    assert_eq!(aborts(&world), 0);
    let snapshot = world.core().snapshot();
    assert_eq!((snapshot.running, snapshot.waiting, snapshot.stages, snapshot.away), (0, 0, 0, 0));
}

#[test]
fn what_was_alive_at_two_deaths_is_sent_nowhere() {
    let mut world = world_of(policy(&[cloud()]), 10);
    world.poison.insert(RequestId(1));
    world.arrive(to_any(1, 60_000));
    world.arrive(RequestMeta { deaths: 2, ..only_there(2, 60_000) });
    world.run_out();
    assert_eq!(world.outcome(1), Some(Outcome::Failed(Fault::HostLost)));
    assert_eq!(refusal(&world, 2).reason, Reason::DiedTwice);
    assert!(world.away.sent().is_empty());
}

#[test]
fn a_suspect_that_comes_back_still_runs_alone() {
    let mut world = world_of(policy(&[cloud()]), 100);
    world.tell(Event::Held(true));
    does(&mut world, 0, Does::Fails(SiteFault::Server, true));
    world.arrive(RequestMeta { deaths: 1, ..to_any(1, 5000) });
    world.tell(Event::Held(false));
    (2..=8).for_each(|id| world.arrive(due(id, 1, 60_000)));
    world.run_out();
    assert_eq!(stays(&world, 1), [Reason::SiteDown]);
    assert!(batches(&world).iter().all(|batch| batch.len() == 1 || !batch.contains(&1)), "{:?}", batches(&world));
}

#[test]
fn a_site_that_fails_in_a_row_is_left_alone_until_a_probe_is_answered() {
    let mut world = world_of(policy(&[cloud(), premises()]), 100);
    world.away.sites.get_mut(&SiteId(1)).unwrap().does = Does::Fails(SiteFault::Connect, false);
    for id in 1..=6 {
        world.arrive(only_there(id, 5000));
        world.run_for(ms(50));
    }
    assert!((1..=6).all(|id| world.outcome(id) == spilled(0)));
    assert!(spills(&world, 1).len() == 2 && spills(&world, 6) == [(0, Reason::OnlyThere)], "it is not asked any more");
    let gates = |world: &World| -> Vec<(u8, bool)> {
        let site = |change: &Change| match change {
            Change::Site { site, passing } => Some((site.0, *passing)),
            _ => None,
        };
        world.announced().iter().filter_map(site).collect()
    };
    assert_eq!(gates(&world), [(1, false)]);
    does(&mut world, 1, Does::Answers);
    world.run_for(ms(70_000));
    assert_eq!(gates(&world), [(1, false), (1, true)]);
    world.arrive(only_there(9, 80_000));
    assert_eq!(spills(&world, 9), [(1, Reason::OnlyThere)], "the nearer one is back");
}

#[test]
fn a_busy_site_is_left_alone_for_as_long_as_it_says_and_both_is_told() {
    let mut world = world_of(policy(&[cloud(), premises()]), 100);
    let after = Duration::from_millis(700);
    does(&mut world, 1, Does::Fails(SiteFault::Busy(Some(after)), true));
    world.arrive(only_there(1, 5000));
    world.run_for(ms(100));
    world.arrive(only_there(2, 5000));
    assert_eq!((spills(&world, 1).len(), spills(&world, 2)), (2, vec![(0, Reason::OnlyThere)]));
    does(&mut world, 1, Does::Answers);
    world.run_for(ms(700));
    world.arrive(only_there(3, 5000));
    assert_eq!(spills(&world, 3), [(1, Reason::OnlyThere)]);
    let told = |passing| world.announced().contains(&Change::Site { site: SiteId(1), passing });
    assert!(told(false) && told(true), "{:?}", world.announced());
}

#[test]
fn a_site_that_swallows_requests_trips_although_each_is_called_off() {
    let mut world = world_of(policy(&[premises(), cloud()]), 100);
    does(&mut world, 0, Does::Nothing);
    for id in 1..=8 {
        world.arrive(only_there(id, 100 * id));
        world.run_until(at(100 * id));
    }
    assert_eq!((world.outcome(1), called_off(&world, 1)), (Some(Outcome::Expired), 1));
    assert_eq!(world.outcome(8), spilled(1), "{:?}", world.core().snapshot().sites);
}

#[test]
fn a_connection_that_broke_before_anything_was_sent_is_tried_once_more_and_no_more() {
    for (sent, attempts) in [(false, 2), (true, 1)] {
        let mut world = world_of(policy(&[cloud()]), 100);
        does(&mut world, 0, Does::Fails(SiteFault::Reset, sent));
        world.arrive(with_terms(to_any(1, 5000), |terms| terms.here = Here::NoModel));
        world.run_for(ms(400));
        let spilled = world.log().iter().flat_map(|step| &step.actions);
        let spilled = spilled.filter(|action| matches!(action, Action::Spill { id: RequestId(1), .. })).count();
        assert_eq!(spilled, attempts, "sent: {sent}");
        assert_eq!(world.outcome(1), Some(Outcome::Failed(Fault::Site)));
    }
}

/// Requests of 100 ms each come to the one site while it is silent.
fn silence(world: &mut World, first: u64) {
    does(world, 0, Does::Nothing);
    for id in first..first + 8 {
        let now = world.now().as_nanos() / 1_000_000;
        world.arrive(only_there(id, now + 100));
        world.run_for(ms(120));
    }
}

#[test]
fn an_outage_does_not_make_a_site_slow_and_silence_behind_answered_probes_does() {
    let mut world = world_of(policy(&[cloud()]), 100);
    let sure = |world: &World| world.core().snapshot().sites[0].sure;
    let before = sure(&world);
    silence(&mut world, 1);
    assert_ne!(world.core().snapshot().sites[0].breaker, edge_core::breaker::State::Passing);
    assert_eq!(sure(&world), before, "it was gone, which says nothing of its speed");
    does(&mut world, 0, Does::Answers);
    world.run_for(ms(5_000));
    let now = world.now().as_nanos() / 1_000_000;
    world.arrive(only_there(50, now + 100));
    world.run_for(ms(200));
    assert_eq!(world.outcome(50), spilled(0), "near deadlines are sent there at once when it is back");
    silence(&mut world, 100);
    assert_eq!(sure(&world), before);
    for again in 2..7 {
        does(&mut world, 0, Does::Answers);
        world.run_for(ms(100_000));
        silence(&mut world, again * 100);
    }
    assert!(sure(&world) > before, "it let itself be probed and answered nobody: {:?} {before:?}", sure(&world));
}
