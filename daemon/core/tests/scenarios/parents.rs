//! Pipeline requests: admitted as one, settled once, and whatever ends one ends its children.

use super::*;

/// A detector (model 0, one lane, 20 ms, decoded in 5) and a reader (model 1, two lanes, 20 ms, decoded in 2).
fn box_with(policy: Policy) -> World {
    let mut world = World::new(policy);
    world.load(0, FakeModel { decode: ms(5), max_batch: 1, ..FakeModel::new(0, 1, ms(20)) });
    world.load(1, FakeModel { decode: ms(2), max_batch: 1, ..FakeModel::new(8, 2, ms(20)) });
    world
}

const STAGES: [(ModelId, u16); 2] = [(ModelId(0), 1), (ModelId(1), 4)];

fn parent(id: u64, client: u32) -> RequestMeta {
    encoded(meta(id, client, 7))
}

/// How each child of a parent ended, in the order of their ids.
fn children(world: &World, of: u64) -> Vec<Outcome> {
    let of = Some(RequestId(of));
    let ids: Vec<u64> = world.arrived().filter(|meta| meta.parent == of).map(|meta| meta.id.0).collect();
    ids.iter().filter_map(|id| world.outcome(*id)).collect()
}

#[test]
fn a_pipeline_request_is_done_when_its_stages_are() {
    let mut world = box_with(small_policy());
    world.arrive_in_stages(parent(1, 1), &STAGES);
    world.run_out();
    assert_eq!(world.outcome(1), Some(Outcome::Done));
    assert_eq!(children(&world, 1), [Outcome::Done; 5]);
    // Decode 5, detect 20, decode 2, and four lines on two lanes.
    assert_eq!(world.ended(1), Some(at(5 + 20 + 2 + 40)));
    let seen = world.core().snapshot();
    assert_eq!((seen.waiting, seen.running, seen.stages), (0, 0, 0));
}

#[test]
fn a_pipeline_request_is_held_against_the_sum_of_its_stages_by_the_mean_of_lines() {
    let mut world = box_with(small_policy());
    let due = |id, slack, now: Mono| RequestMeta { deadline: Some(ms(slack).from(now)), ..parent(id, 1) };
    world.arrive_in_stages(due(1, 500, at(0)), &STAGES);
    world.run_for(ms(100));
    // 5 + 20 to detect; the lines in decoders of two, 4, and in two lanes, 40.
    world.arrive_in_stages(due(2, 68, world.now()), &STAGES);
    assert_eq!(refusal(&world, 2).reason, Reason::DeadlineTooShort);
    assert_eq!(refusal(&world, 2).predicted, Some(Duration::from_millis(69)));
    world.arrive_in_stages(due(3, 80, world.now()), &STAGES);
    world.run_out();
    assert_eq!(world.outcome(3), Some(Outcome::Done));
    // What was learnt of other pictures long ago is no reason to refuse this one.
    world.run_for(ms(60_000));
    world.arrive_in_stages(due(4, 68, world.now()), &STAGES);
    world.run_out();
    assert_eq!(world.outcome(4), Some(Outcome::Done));
}

#[test]
fn a_stage_that_is_not_there_refuses_the_whole() {
    let mut world = box_with(small_policy());
    world.arrive_in_stages(parent(1, 1), &[(ModelId(0), 1), (ModelId(5), 1)]);
    assert_eq!(refusal(&world, 1).reason, Reason::ModelUnavailable);
    world.arrive_in_stages(parent(2, 1), &[]);
    assert_eq!(refusal(&world, 2).reason, Reason::ModelUnavailable);
}

#[test]
fn what_ends_a_pipeline_request_ends_its_children() {
    type End = fn(&mut World);
    let ends: [(End, Outcome); 5] = [
        (|world| world.tell(Event::Cancelled { id: RequestId(1) }), Outcome::Cancelled),
        (|world| world.tell(Event::ClientLeft { client: ClientId(1) }), Outcome::Cancelled),
        (|world| world.tell(Event::CutOff { id: RequestId(1) }), Outcome::Shed(Reason::Draining)),
        (|world| world.run_for(ms(8)), Outcome::Expired),
        (
            |world| world.tell(Event::Finished { id: RequestId(1), result: Err(Fault::Full) }),
            Outcome::Failed(Fault::Full),
        ),
    ];
    for (end, outcome) in ends {
        let mut world = box_with(small_policy());
        world.arrive_in_stages(RequestMeta { deadline: Some(at(38)), ..parent(1, 1) }, &STAGES);
        world.run_for(ms(31));
        end(&mut world);
        assert_eq!(world.outcome(1), Some(outcome));
        let ends = children(&world, 1);
        assert_eq!(ends[0], Outcome::Done, "it was detected");
        assert!(ends[1..].iter().all(|end| matches!(end, Outcome::Cancelled | Outcome::Expired)), "{ends:?}");
        world.run_out();
        assert!(world.settlements().values().all(|ends| ends.len() == 1), "{outcome:?}");
    }
}

#[test]
fn a_child_that_fails_fails_the_whole_by_the_same_reason() {
    let mut world = box_with(small_policy());
    world.arrive_in_stages(parent(1, 1), &STAGES);
    world.run_for(ms(26));
    let failing = world.arrived().filter(|meta| meta.parent.is_some()).map(|meta| meta.id).max().expect("a child");
    world.faulty.insert(failing);
    world.run_out();
    assert_eq!(world.outcome(1), Some(Outcome::Failed(Fault::Runtime)));
    assert_eq!(world.outcome(failing.0), Some(Outcome::Failed(Fault::Runtime)));
}

#[test]
fn a_stage_that_goes_away_in_between_ends_the_whole_as_unavailable() {
    for early in [10, 30] {
        let mut world = box_with(small_policy());
        world.arrive_in_stages(parent(1, 1), &STAGES);
        world.run_for(ms(early));
        world.unload(1);
        world.run_out();
        assert_eq!(world.outcome(1), Some(Outcome::Shed(Reason::ModelUnavailable)), "after {early} ms");
        assert!(world.settlements().values().all(|ends| ends.len() == 1));
    }
}

#[test]
fn a_dying_host_costs_each_stage_one_retry_and_the_whole_none() {
    let mut world = box_with(small_policy());
    world.arrive_in_stages(parent(1, 1), &STAGES);
    world.run_for(ms(10));
    world.kill_host();
    world.run_for(ms(500));
    assert_eq!(world.outcome(1), Some(Outcome::Done));
    world.arrive_in_stages(parent(2, 1), &STAGES);
    world.run_for(ms(30));
    world.kill_host();
    world.run_out();
    assert_eq!(world.outcome(2), Some(Outcome::Done));
}

#[test]
fn a_box_full_of_pipeline_requests_gets_all_their_children_in() {
    let policy = Policy { max_waiting: 8, client_share: Ratio::ONE, ..small_policy() };
    let mut world = box_with(policy);
    (1..=8).for_each(|id| world.arrive_in_stages(parent(id, 1), &STAGES));
    world.arrive_in_stages(parent(9, 2), &STAGES);
    assert_eq!(refusal(&world, 9).reason, Reason::QueueFull);
    // Draining takes nothing new; what was accepted goes through all its stages.
    world.tell(Event::Drain);
    world.run_out();
    assert!((1..=8).all(|id| world.outcome(id) == Some(Outcome::Done)));
    assert_eq!(world.announced().last(), Some(&Change::Drained));
}

#[test]
fn more_children_than_the_policy_allows_are_refused_by_name() {
    let mut world = box_with(Policy { fan_out: 3, ..small_policy() });
    world.arrive_in_stages(parent(1, 1), &STAGES);
    world.run_out();
    assert_eq!(world.outcome(1), Some(Outcome::Shed(Reason::FanOut)));
    let refused = |outcome: &Outcome| matches!(outcome, Outcome::Refused(refusal) if refusal.reason == Reason::FanOut);
    assert!(children(&world, 1).iter().any(refused));
}

#[test]
fn a_child_without_a_parent_is_refused_and_a_child_has_no_children() {
    let mut world = box_with(small_policy());
    world.arrive(RequestMeta { parent: Some(RequestId(1)), ..meta(2, 1, 1) });
    assert_eq!(refusal(&world, 2).reason, Reason::NoParent);
    world.arrive(meta(3, 1, 1));
    world.arrive(RequestMeta { parent: Some(RequestId(3)), ..meta(4, 1, 1) });
    assert_eq!(refusal(&world, 4).reason, Reason::NoParent);
}

#[test]
fn callers_take_turns_with_the_stages_of_others() {
    let mut world = box_with(small_policy());
    world.arrive_in_stages(parent(1, 1), &[(ModelId(0), 1), (ModelId(1), 20)]);
    world.run_for(ms(28));
    world.arrive(encoded(meta(2, 2, 1)));
    world.run_out();
    // Its turn comes after what runs, not after twenty lines.
    assert!(world.ended(2).expect("ended") < at(28 + 65), "{:?}", world.ended(2));
    assert_eq!(world.outcome(1), Some(Outcome::Done));
}
