use std::sync::LazyLock;

use proptest::prelude::*;

use super::super::*;

/// Compiled once for all cases.
static DETECTORS: LazyLock<Detectors> = LazyLock::new(|| Detectors::new(&BTreeMap::new()).unwrap());

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn findings_lie_within_the_text_on_characters_and_in_order(text in "[0-9@:+(). a-zé４\u{200b}٤\\-]{0,200}") {
        let mut findings = Vec::new();
        DETECTORS.find(&text, "", &mut findings);
        for finding in &findings {
            prop_assert!(finding.start < finding.end);
            prop_assert!(text.get(finding.start..finding.end).is_some());
        }
        prop_assert!(findings.windows(2).all(|pair| pair[0].start <= pair[1].start));
    }

    #[test]
    fn a_card_is_found_wherever_it_stands_among_words(
        before in "[a-z ,.]{0,40}", after in "[a-z ,.]{0,40}", body in "4[0-9]{14}",
    ) {
        let check = (0..10).map(|last| format!("{body}{last}")).find(|number| {
            digits::luhn(&number.bytes().map(|byte| byte - b'0').collect::<Vec<_>>())
        }).unwrap();
        prop_assume!(check.bytes().any(|byte| byte != b'4'));
        let text = format!("{before} {check}{after}");
        prop_assert!(DETECTORS.kinds(&text, "").contains(Kind::Card));
    }
}
