//! Looks into payloads: which personal data is in a text (`detect`). Pure functions of bytes and the operator's rules: no clock, no
//! file, no log. Must not know of sites, budgets or load; what follows is the core's to decide.

pub mod detect;
