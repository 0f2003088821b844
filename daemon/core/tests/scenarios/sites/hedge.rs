//! The first site is late: a second one is asked.

use super::*;

fn two(may_hedge: [bool; 2]) -> Policy {
    policy(&may_hedge.map(|may_hedge| Site { may_hedge, ..cloud() }))
}

fn hedged(id: u64, deadline: u64) -> RequestMeta {
    with_terms(only_there(id, deadline), |terms| terms.may_hedge = true)
}

/// The first site does not answer in its usual time.
fn late(may_hedge: [bool; 2]) -> World {
    let mut world = world_of(two(may_hedge), 10);
    does(&mut world, 0, Does::Nothing);
    world
}

#[test]
fn a_second_site_is_asked_at_the_first_ones_p95_and_the_first_answer_wins() {
    let mut world = late([true, true]);
    world.arrive(hedged(1, 5000));
    let sure = world.core().snapshot().sites[0].sure;
    world.run_until(at(200));
    assert_eq!(spills(&world, 1), [(0, Reason::OnlyThere), (1, Reason::Hedged)]);
    assert_eq!((world.outcome(1), called_off(&world, 1)), (spilled(1), 1));
    assert!((ms(20).duration()..ms(30).duration()).contains(&sure), "{sure:?}");
    assert_eq!(world.ended(1), Some(Mono::default().after(sure + ms(20).duration())));
    assert_eq!(world.core().snapshot().sites.iter().map(|site| site.open).sum::<u16>(), 0);
}

#[test]
fn no_second_site_is_asked_where_that_is_not_allowed_or_no_help() {
    for (name, may, request) in [
        ("the first does not allow it", [false, true], hedged(1, 1000)),
        ("the second does not allow it", [true, false], hedged(1, 1000)),
        ("the request does not", [true, true], only_there(1, 1000)),
        ("there is no time", [true, true], hedged(1, 24)),
        (
            "a rule keeps it from the second",
            [true, true],
            with_terms(hedged(1, 1000), |terms| terms.allowed = Sites::from_bits(1)),
        ),
    ] {
        let mut world = late(may);
        world.arrive(request);
        world.run_out();
        assert_eq!(spills(&world, 1).len(), 1, "{name}");
        assert_eq!((world.outcome(1), called_off(&world, 1)), (Some(Outcome::Expired), 1), "{name}");
    }
}

#[test]
fn the_second_may_fail_and_the_first_still_answers() {
    let mut world = late([true, true]);
    let fake = FakeSite::new(Zone::Cloud, ms(100));
    world.site(0, fake);
    does(&mut world, 1, Does::Fails(SiteFault::Reset, true));
    world.arrive(hedged(1, 5000));
    world.run_out();
    assert_eq!((spills(&world, 1).len(), world.outcome(1), called_off(&world, 1)), (2, spilled(0), 0));
}

#[test]
fn both_fail_and_what_the_table_says_follows_once() {
    let mut world = late([true, true]);
    world.site(0, FakeSite { does: Does::Fails(SiteFault::Reset, true), ..FakeSite::new(Zone::Cloud, ms(100)) });
    does(&mut world, 1, Does::Fails(SiteFault::Reset, true));
    world.arrive(hedged(1, 5000));
    world.run_out();
    assert_eq!(world.outcome(1), Some(Outcome::Failed(Fault::Site)));
    assert_eq!(counted(&world, Failure::SiteDown, None), 1);
}
