//! A caller that has a first piece of an answer gets the rest from the same site, or none.

use super::*;

/// Three sites that answer late if at all; a second one may be asked.
fn late() -> World {
    let mut world = world_of(policy(&[cloud(); 3].map(|site| Site { may_hedge: true, ..site })), 10);
    (0..3).for_each(|site| does(&mut world, site, Does::Nothing));
    world
}

fn hedged(id: u64, deadline: u64) -> RequestMeta {
    with_terms(only_there(id, deadline), |terms| terms.may_hedge = true)
}

fn begins(world: &mut World, id: u64, site: u8) {
    world.tell(Event::SiteBegan { id: RequestId(id), site: SiteId(site) });
}

/// An attempt ends without an answer, after some of the request was sent.
fn fails(world: &mut World, id: u64, site: u8) {
    world.tell(Event::SiteDone(Trip {
        id: RequestId(id),
        site: SiteId(site),
        bytes: Bytes(1000),
        reserved: NanoUsd(0),
        result: Err(SiteFault::Reset),
        sent: true,
        took: ms(30).duration(),
    }));
}

#[test]
fn no_second_site_is_asked_for_an_answer_that_has_begun() {
    let mut world = late();
    world.arrive(hedged(1, 1000));
    begins(&mut world, 1, 0);
    world.run_out();
    assert_eq!(spills(&world, 1).len(), 1);
    assert_eq!((world.outcome(1), called_off(&world, 1)), (Some(Outcome::Expired), 1));
}

#[test]
fn of_two_that_are_asked_the_first_that_begins_goes_on_alone() {
    for first in [0, 1] {
        let mut world = late();
        world.arrive(hedged(1, 1000));
        world.run_until(at(200));
        assert_eq!(spills(&world, 1), [(0, Reason::OnlyThere), (1, Reason::Hedged)]);
        begins(&mut world, 1, first);
        assert_eq!(called_off(&world, 1), 1, "the other is not wanted any more");
        // It says so of itself as well, too late.
        begins(&mut world, 1, 1 - first);
        assert_eq!(called_off(&world, 1), 1);
        fails(&mut world, 1, 1 - first);
        assert_eq!(world.outcome(1), None, "one that was called off ends nothing");
        fails(&mut world, 1, first);
        world.run_out();
        assert_eq!((spills(&world, 1).len(), world.outcome(1)), (2, Some(Outcome::Failed(Fault::Site))));
        assert_eq!(counted(&world, Failure::SiteDown, None), 1);
    }
}

#[test]
fn an_answer_that_breaks_off_is_not_begun_anew_elsewhere_nor_here_nor_put_off() {
    for steps in [[Some(Next::Site), None, None], [Some(Next::Here), None, None], [Some(Next::Wait), None, None]] {
        for has_begun in [false, true] {
            let mut world = world_of(with_steps(&[cloud(), cloud()], Failure::SiteDown, steps), 10);
            (0..2).for_each(|site| does(&mut world, site, Does::Nothing));
            world.tell(Event::Held(true));
            world.arrive(RequestMeta { deferrable: true, ..to_any(1, 5000) });
            world.tell(Event::Held(false));
            assert_eq!(spills(&world, 1), [(0, Reason::Held)]);
            if has_begun {
                begins(&mut world, 1, 0);
            }
            fails(&mut world, 1, 0);
            let ended = world.outcome(1) == Some(Outcome::Failed(Fault::Site));
            assert_eq!(ended, has_begun, "{steps:?}: {:?}", world.outcome(1));
        }
    }
}

#[test]
fn what_is_said_to_have_begun_where_nobody_was_asked_changes_nothing() {
    let mut world = late();
    world.arrive(hedged(1, 1000));
    begins(&mut world, 1, 2);
    begins(&mut world, 2, 0);
    does(&mut world, 1, Does::Answers);
    world.run_out();
    assert_eq!((spills(&world, 1).len(), world.outcome(1)), (2, spilled(1)));
}

#[test]
fn the_whole_answer_of_this_box_is_not_given_behind_pieces_of_another() {
    let mut world = world_of(policy(&[cloud()]), 10);
    does(&mut world, 0, Does::Nothing);
    world.away.doubtful.insert(RequestId(1));
    let stronger = Sites::from_bits(1);
    world.arrive(with_terms(to_any(1, 1000), |terms| (terms.checked, terms.stronger) = (true, stronger)));
    world.run_until(at(100));
    assert_eq!(spills(&world, 1), [(0, Reason::Doubtful)]);
    begins(&mut world, 1, 0);
    world.run_out();
    assert_eq!(world.outcome(1), Some(Outcome::Expired));
}
