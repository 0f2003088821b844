//! The queue is long, or another place is faster: which site is taken.

use super::*;

#[test]
fn a_request_that_would_be_late_here_goes_to_a_site_and_one_that_would_not_stays() {
    let mut world = world_of(policy(&[cloud()]), 1000);
    world.arrive(to_any(1, 5000));
    fill(&mut world);
    world.arrive(to_any(2, 2500));
    world.arrive(due(3, 3, 2500));
    world.run_until(at(100));
    assert!(matches!(verdict(&world, 1), Some(Verdict::Local(_))));
    assert_eq!(verdict(&world, 2), Some(Verdict::Spill(SiteId(0), Reason::PredictedWait)));
    assert_eq!((world.outcome(2), world.ended(2)), (spilled(0), Some(at(20))));
    assert_eq!(refusal(&world, 3).away, None, "no site serves it");
    assert_eq!(counted(&world, Failure::QueueFull, Some(Next::Site)), 1);
    world.run_out();
    assert_eq!(world.outcome(1), Some(Outcome::Done));
}

#[test]
fn the_one_that_comes_nearest_says_why_no_site_was_taken() {
    let price = Some(Price { request: NanoUsd(10), ..Price::default() });
    let slow = |world: &mut World| warm(world, 0, 3000);
    let nothing = |_: &mut World| {};
    type Prepare = fn(&mut World);
    let off: Prepare = |world| world.tell(Event::SiteLoad { site: SiteId(0), off: true, wait: Duration::ZERO });
    let busy: Prepare = |world| world.tell(Event::SiteLoad { site: SiteId(0), off: false, wait: ms(3000).duration() });
    let tripped: Prepare = |world| {
        let result = Err(SiteFault::Connect);
        world.tell(Event::SiteProbed { site: SiteId(0), result });
        does(world, 0, Does::Fails(SiteFault::Connect, false));
        (800..806).for_each(|id| world.arrive(only_there(id, 10_000)));
        world.run_for(ms(100));
    };
    let cases: [(&str, Site, u64, u32, Prepare, Bar); 8] = [
        ("too large", Site { max_bytes: Bytes(999), ..cloud() }, 1000, 0, nothing, Bar::TooLarge),
        ("too long", Site { context: Some(99), ..cloud() }, 1000, 100, nothing, Bar::Context),
        ("full", Site { max_open: 0, ..cloud() }, 1000, 0, nothing, Bar::Full),
        ("no money", Site { price, budget: Some(NanoUsd(9)), ..cloud() }, 1000, 0, nothing, Bar::Budget),
        ("off", cloud(), 1000, 0, off, Bar::Off),
        ("slow", cloud(), 1000, 0, slow, Bar::TooSlow),
        ("its own queue", cloud(), 1000, 0, busy, Bar::TooSlow),
        ("tripped", cloud(), 1000, 0, tripped, Bar::Tripped),
    ];
    for (name, site, bytes, input, prepare, bar) in cases {
        let mut world = world_of(policy(&[site]), 1000);
        prepare(&mut world);
        fill(&mut world);
        let tokens = Tokens { input, output: 0 };
        world.arrive(with_terms(RequestMeta { bytes: Bytes(bytes), ..to_any(1, 2500) }, |terms| terms.tokens = tokens));
        assert_eq!(refusal(&world, 1).away, Some(bar), "{name}");
    }
}

#[test]
fn among_sites_that_are_in_time_the_objective_decides() {
    let price = |nanos| Some(Price { request: NanoUsd(nanos), ..Price::default() });
    let sites = [Site { price: price(5), ..cloud() }, Site { price: price(1), ..cloud() }, cloud()];
    for (objective, expected) in [(Objective::CheapestWithinSlo, 1), (Objective::FastestWithinBudget, 2)] {
        let mut world = world_of(policy(&sites), 1000);
        for (site, took) in [(0, 100), (1, 200), (2, 20)] {
            warm(&mut world, site, took);
        }
        fill(&mut world);
        world.arrive(with_terms(to_any(1, 2500), |terms| terms.objective = objective));
        assert_eq!(spills(&world, 1), [(expected, Reason::PredictedWait)], "{objective:?}");
    }
}

#[test]
fn who_seeks_speed_leaves_an_idle_box_for_a_quicker_site_only() {
    let mut world = world_of(policy(&[cloud()]), 100);
    let fastest = |id| with_terms(to_any(id, 5000), |terms| terms.objective = Objective::FastestWithinBudget);
    world.arrive(fastest(1));
    assert_eq!(spills(&world, 1), [(0, Reason::Faster)]);
    (0..6).for_each(|_| warm(&mut world, 0, 400));
    world.arrive(fastest(2));
    assert!(matches!(verdict(&world, 2), Some(Verdict::Local(_))));
}

#[test]
fn a_model_that_lives_elsewhere_is_served_there_or_refused_with_what_barred_it() {
    let mut world = world_of(policy(&[cloud()]), 10);
    world.arrive(only_there(1, 5000));
    does(&mut world, 0, Does::Fails(SiteFault::Connect, false));
    world.run_for(ms(100));
    assert_eq!(world.outcome(1), spilled(0));
    (2..6).for_each(|id| world.arrive(only_there(id, 5000)));
    world.run_for(ms(100));
    assert_eq!(world.outcome(2), Some(Outcome::Failed(Fault::Site)), "no other place has it");
    world.arrive(only_there(9, 5000));
    let refusal = refusal(&world, 9);
    assert_eq!((refusal.reason, refusal.away), (Reason::OnlyThere, Some(Bar::Tripped)));
}

#[test]
fn a_prompt_that_is_too_long_here_goes_where_it_can_be_read() {
    let mut world = world_of(policy(&[Site { context: Some(100), ..cloud() }, cloud()]), 10);
    let long =
        |meta| with_terms(meta, |terms| (terms.here, terms.tokens) = (Here::Context, Tokens { input: 500, output: 5 }));
    world.arrive(long(to_any(1, 60_000)));
    assert_eq!(spills(&world, 1), [(1, Reason::ContextOverflow)]);
    assert_eq!(counted(&world, Failure::ContextOverflow, Some(Next::Site)), 1);
    world
        .arrive(RequestMeta { terms: Terms { capable: Sites::NONE, ..long(to_any(1, 1)).terms }, ..due(2, 2, 60_000) });
    assert_eq!(refusal(&world, 2).reason, Reason::ContextOverflow);
}

#[test]
fn a_comparison_goes_to_a_site_and_never_runs_here() {
    let mut world = world_of(policy(&[cloud()]), 10);
    world.arrive(with_terms(to_any(1, 5000), |terms| terms.here = Here::Elsewhere));
    assert_eq!(spills(&world, 1), [(0, Reason::Compared)]);
    does(&mut world, 0, Does::Fails(SiteFault::Server, true));
    world.arrive(with_terms(to_any(2, 5000), |terms| terms.here = Here::Elsewhere));
    world.run_out();
    assert_eq!((world.outcome(1), world.outcome(2)), (spilled(0), Some(Outcome::Failed(Fault::Site))));
    assert!(batches(&world).is_empty());
}

#[test]
fn a_pipeline_and_a_request_of_many_rows_are_sent_whole() {
    let mut world = world_of(policy(&[cloud()]), 1000);
    fill(&mut world);
    let stages = [(ModelId(0), 1), (ModelId(0), 3)];
    world.arrive_in_stages(encoded(RequestMeta { model: ModelId(7), ..to_any(1, 2500) }), &stages);
    world.arrive(RequestMeta { cost: Cost::new(40), most_rows: Some(8), ..to_any(2, 2500) });
    world.run_until(at(100));
    assert_eq!((world.outcome(1), world.outcome(2)), (spilled(0), spilled(0)));
    assert_eq!(count(&world, |action| matches!(action, Action::Divide { .. })), 0);
    assert_eq!(world.away.sent().len(), 2);
}

#[test]
fn a_request_of_many_rows_comes_back_and_runs_in_chunks() {
    let mut world = world_of(policy(&[cloud()]), 10);
    world.tell(Event::Held(true));
    world.arrive(RequestMeta { cost: Cost::new(40), most_rows: Some(8), ..to_any(1, 5000) });
    assert_eq!(spills(&world, 1), [(0, Reason::Held)]);
    does(&mut world, 0, Does::Nothing);
    world.tell(Event::Held(false));
    // It says that it failed after all.
    let trip = Trip {
        id: RequestId(1),
        site: SiteId(0),
        bytes: Bytes(1000),
        reserved: NanoUsd(0),
        result: Err(SiteFault::Reset),
        sent: true,
        took: ms(10).duration(),
    };
    world.tell(Event::SiteDone(trip));
    assert_eq!(stays(&world, 1), [Reason::SiteDown]);
    world.run_out();
    assert_eq!(world.outcome(1), Some(Outcome::Done));
    let rows: usize = world.arrived().filter(|meta| meta.parent.is_some()).map(|meta| meta.cost.units() as usize).sum();
    assert_eq!(rows, 40, "all its rows ran here");
}
