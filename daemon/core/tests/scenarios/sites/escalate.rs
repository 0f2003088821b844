//! A stronger site for what is hard, and for answers of this box that are doubtful.

use super::*;

fn checked(id: u64, deadline: u64) -> RequestMeta {
    with_terms(to_any(id, deadline), |terms| (terms.checked, terms.stronger) = (true, Sites::from_bits(2)))
}

fn world() -> World {
    world_of(policy(&[cloud(), cloud()]), 10)
}

#[test]
fn a_good_answer_is_given_and_nothing_leaves() {
    let mut world = world();
    world.arrive(checked(1, 5000));
    world.run_out();
    assert!(matches!(verdict(&world, 1), Some(Verdict::Speculate(_))));
    assert_eq!((world.outcome(1), world.away.sent().len()), (Some(Outcome::Done), 0));
}

#[test]
fn a_doubtful_answer_goes_to_the_stronger_site() {
    let mut world = world();
    world.away.doubtful.insert(RequestId(1));
    world.arrive(checked(1, 5000));
    world.run_out();
    assert_eq!((spills(&world, 1), world.outcome(1)), (vec![(1, Reason::Doubtful)], spilled(1)));
}

#[test]
fn where_no_stronger_site_answers_the_answer_of_this_box_is_given_and_why() {
    type Prepare = fn(&mut World);
    let fails: Prepare = |world| does(world, 1, Does::Fails(SiteFault::Server, true));
    let swallows: Prepare = |world| does(world, 1, Does::Nothing);
    let off: Prepare = |world| world.tell(Event::SiteLoad { site: SiteId(1), off: true, wait: Duration::ZERO });
    let unfit: Prepare = |world| does(world, 1, Does::Fails(SiteFault::Invalid, false));
    let fine: Prepare = |_| {};
    for (name, prepare, request, why, attempts) in [
        ("it fails", fails, checked(1, 5000), Reason::SiteDown, 1),
        ("it never answers", swallows, checked(1, 500), Reason::SiteDown, 1),
        ("it cannot be sent", unfit, checked(1, 5000), Reason::SiteDown, 1),
        ("it is off", off, checked(1, 5000), Reason::Doubtful, 0),
        ("there is no time", fine, checked(1, 30), Reason::Doubtful, 0),
    ] {
        let mut world = world();
        world.away.doubtful.insert(RequestId(1));
        prepare(&mut world);
        world.arrive(request);
        world.run_out();
        assert_eq!((world.outcome(1), stays(&world, 1)), (Some(Outcome::Done), vec![why]), "{name}");
        assert_eq!(spills(&world, 1).len(), attempts, "{name}");
    }
}

#[test]
fn an_answer_that_is_looked_at_for_too_long_is_given() {
    let mut world = world();
    world.away.looks = ms(1000);
    world.arrive(checked(1, 200));
    world.run_out();
    assert_eq!((world.outcome(1), world.ended(1)), (Some(Outcome::Done), Some(at(200))));
}

#[test]
fn answers_that_are_looked_at_hold_their_places() {
    let mut world = world_of(Policy { max_waiting: 4, ..policy(&[cloud(), cloud()]) }, 1);
    world.away.looks = ms(1000);
    for id in 1..=8 {
        world.arrive(checked(id, 3000));
        world.run_for(ms(5));
    }
    let seen = world.core().snapshot();
    assert!(seen.waiting <= 4, "{}", seen.waiting);
    world.run_out();
    assert!((1..=4).all(|id| world.outcome(id) == Some(Outcome::Done)));
}

#[test]
fn what_is_hard_goes_to_a_stronger_site_and_what_is_easy_stays() {
    for (difficulty, leaves) in
        [(Difficulty::Unrated, false), (Difficulty::Easy, false), (Difficulty::Hard, true), (Difficulty::Unknown, true)]
    {
        let mut world = world();
        let request = with_terms(to_any(1, 5000), |terms| {
            (terms.difficulty, terms.stronger) = (difficulty, Sites::from_bits(2));
        });
        world.arrive(request);
        world.run_out();
        let expected = if leaves { vec![(1, Reason::Difficult)] } else { vec![] };
        assert_eq!(spills(&world, 1), expected, "{difficulty:?}");
    }
}

#[test]
fn what_is_hard_stays_without_a_word_where_it_may_not_leave_and_with_one_where_the_site_is_down() {
    let hard = |id| {
        with_terms(to_any(id, 5000), |terms| {
            (terms.difficulty, terms.stronger) = (Difficulty::Hard, Sites::from_bits(2))
        })
    };
    let mut world = world();
    world.arrive(RequestMeta { class: ClassClaim::Claimed(DataClass::Regulated), ..hard(1) });
    assert_eq!(verdict(&world, 1), Some(Verdict::Local(Reason::Feasible)));
    world.tell(Event::SiteLoad { site: SiteId(1), off: true, wait: Duration::ZERO });
    world.arrive(hard(2));
    assert_eq!(verdict(&world, 2), Some(Verdict::Local(Reason::SiteDown)));
    assert_eq!(counted(&world, Failure::SiteDown, Some(Next::Here)), 1);
}
