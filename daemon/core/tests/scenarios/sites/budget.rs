//! Money: reserved when a request leaves, settled when it ends, never more than there is.

use super::*;

fn priced(request: u64, budget: Option<u64>) -> Site {
    let price = Some(Price { request: NanoUsd(request), output_mtok: NanoUsd(1_000_000), ..Price::default() });
    Site { price, budget: budget.map(NanoUsd), ..cloud() }
}

fn spent(world: &World) -> u64 {
    world.core().snapshot().sites[0].spent.0
}

/// The same, with a known spending at the start of zero.
fn start(site: Site) -> World {
    let mut world = world_of(policy(&[site]), 10);
    world.tell(Event::Spent { site: SiteId(0), today: NanoUsd(0) });
    world
}

#[test]
fn as_many_requests_leave_as_the_budget_pays_for() {
    let mut world = start(priced(10, Some(35)));
    (1..=5).for_each(|id| world.arrive(only_there(id, 5000)));
    assert_eq!(spent(&world), 30, "reserved while they are open");
    world.run_out();
    assert!((1..=3).all(|id| world.outcome(id) == spilled(0)));
    assert_eq!(refusal(&world, 4).away, Some(Bar::Budget));
    assert_eq!((spent(&world), counted(&world, Failure::BudgetSpent, None)), (30, 2));
    world.tell(Event::Spent { site: SiteId(0), today: NanoUsd(0) });
    world.arrive(only_there(6, 5000));
    world.run_out();
    assert_eq!(world.outcome(6), spilled(0), "a day begins");
}

#[test]
fn what_was_not_served_is_given_back_and_what_may_have_been_is_not() {
    for (fault, sent, cost) in [
        (SiteFault::Connect, false, 0),
        (SiteFault::Busy(None), true, 0),
        (SiteFault::Server, true, 0),
        (SiteFault::Rejected, true, 0),
        (SiteFault::Timeout, true, 10),
        (SiteFault::Reset, true, 10),
        (SiteFault::Reset, false, 0),
        (SiteFault::Garbage, true, 10),
        (SiteFault::Unfit, false, 0),
        (SiteFault::Unfit, true, 10),
        (SiteFault::Invalid, false, 0),
    ] {
        let mut world = start(priced(10, Some(35)));
        does(&mut world, 0, Does::Fails(fault, sent));
        world.arrive(only_there(1, 5000));
        assert_eq!(spent(&world), 10);
        world.run_out();
        assert_eq!(spent(&world), cost, "{fault:?} {sent}");
    }
}

#[test]
fn an_answer_costs_what_it_had_and_not_what_was_reserved() {
    let mut world = start(priced(10, None));
    let tokens = Tokens { input: 50, output: 1000 };
    world.arrive(with_terms(only_there(1, 60_000), |terms| terms.tokens = tokens));
    assert_eq!(spent(&world), 10 + 256, "an answer of usual length");
    world.run_out();
    assert_eq!(spent(&world), 10 + 100);
}

#[test]
fn a_budget_of_nothing_buys_nothing_and_a_price_that_nobody_knows_fits_none() {
    for (name, site, expected) in [
        ("a budget of zero", priced(0, Some(0)), Some(Bar::Budget)),
        ("free, with money", priced(0, Some(1)), None),
        ("no price, with a budget", Site { budget: Some(NanoUsd(100)), ..cloud() }, Some(Bar::Budget)),
        ("no price, no budget", cloud(), None),
    ] {
        let mut world = start(site);
        world.arrive(only_there(1, 5000));
        world.run_out();
        match expected {
            Some(bar) => assert_eq!(refusal(&world, 1).away, Some(bar), "{name}"),
            None => assert_eq!(world.outcome(1), spilled(0), "{name}"),
        }
    }
}

#[test]
fn what_was_spent_before_the_start_counts_and_what_is_open_stays_reserved() {
    let mut world = world_of(policy(&[priced(10, Some(35))]), 10);
    world.tell(Event::Spent { site: SiteId(0), today: NanoUsd(10) });
    world.arrive(only_there(1, 5000));
    // The day begins while it is open.
    world.tell(Event::Spent { site: SiteId(0), today: NanoUsd(20) });
    assert_eq!(spent(&world), 30);
    world.arrive(only_there(2, 5000));
    assert_eq!(refusal(&world, 2).away, Some(Bar::Budget));
    world.run_out();
    assert_eq!(spent(&world), 30);
}

#[test]
fn a_spent_budget_is_followed_by_what_the_table_says() {
    // By default this box, where a stronger site was wanted.
    let mut world = start(priced(10, Some(5)));
    let hard =
        |id| with_terms(to_any(id, 5000), |terms| (terms.difficulty, terms.stronger) = (Difficulty::Hard, Sites::ALL));
    world.arrive(hard(1));
    world.run_out();
    assert_eq!(verdict(&world, 1), Some(Verdict::Local(Reason::BudgetSpent)));
    assert_eq!((world.outcome(1), counted(&world, Failure::BudgetSpent, Some(Next::Here))), (Some(Outcome::Done), 1));
    let mut world = world_of(with_steps(&[priced(10, Some(5))], Failure::BudgetSpent, [None; 3]), 10);
    world.arrive(hard(1));
    assert_eq!(refusal(&world, 1).reason, Reason::BudgetSpent);
    let steps = [Some(Next::Wait), None, None];
    let mut world = world_of(with_steps(&[priced(10, Some(5))], Failure::BudgetSpent, steps), 10);
    world.arrive(RequestMeta { deferrable: true, ..only_there(1, 5000) });
    assert_eq!(world.outcome(1), Some(Outcome::Deferred(Reason::BudgetSpent)));
    assert_eq!(counted(&world, Failure::BudgetSpent, Some(Next::Wait)), 1);
}

#[test]
fn a_reload_forgets_no_reservation() {
    let site = priced(10, Some(35));
    let mut world = start(site);
    (1..=3).for_each(|id| world.arrive(only_there(id, 5000)));
    world.tell(Event::Policy(Box::new(policy(&[Site { budget: Some(NanoUsd(25)), ..site }]))));
    assert_eq!(spent(&world), 30);
    world.arrive(only_there(4, 5000));
    assert_eq!(refusal(&world, 4).away, Some(Bar::Budget));
    world.run_out();
    assert_eq!(spent(&world), 30);
}
