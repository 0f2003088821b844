//! What the policy changes.

use super::*;

#[test]
fn a_new_policy_applies_at_once() {
    let mut world = world_with(Policy { lanes: 1, ..small_policy() }, 50);
    (1..=4).for_each(|id| world.arrive(due(id, 1, 5000)));
    assert_eq!(batches(&world).len(), 1);
    world.tell(Event::Policy(Box::new(small_policy())));
    assert_eq!(batches(&world).len(), 2);
    world.tell(Event::Policy(Box::new(Policy { max_waiting: 2, ..small_policy() })));
    world.arrive(meta(5, 2, 0));
    assert_eq!(refusal(&world, 5).reason, Reason::QueueFull);
    world.run_out();
}

#[test]
fn a_deferrable_request_without_a_deadline_may_wait_for_the_longest() {
    let mut world = world(10);
    world.arrive(RequestMeta { deferrable: true, ..meta(1, 1, 0) });
    let accepted = world.log().iter().flat_map(|step| &step.actions).find_map(|action| match action {
        Action::Accept { verdict, deadline, .. } => Some((verdict.reason(), *deadline)),
        _ => None,
    });
    assert_eq!(accepted, Some(("deferrable", at(600_000))));
    world.run_out();
}
