//! A Consent, compiled. What cannot be understood is refused: a consent that is kept is a consent that is enforced.

use super::{Compiled, Condition, Meaning, Provision, Purposes, terms};
use crate::access::{Verb, Verbs};
use crate::definitions::Definitions;
use crate::json::Node;
use crate::kind::{Id, Kind, Reference};
use crate::moment::{self, Span};
use crate::outcome::{Code, Issue, Issues};
use crate::validate::Coding;
use std::borrow::Cow;

/// `Consent.policy.uri`: the base policy of this site, to which the provisions are exceptions.
pub const POLICY: &str = "urn:medlock:fhir:base-policy";

/// Provisions of a Consent, at most; how deep they stand in one another; values that they name, each with those around it.
const MOST: usize = 256;
const DEEPEST: usize = 8;
const VALUES: usize = 4_096;

/// Compiles a Consent that is as R4 says.
///
/// # Errors
/// What of it cannot be enforced here, with its place.
pub fn compile(consent: Node<'_, '_>, bases: &[String]) -> Result<Compiled, Issues> {
    let mut reading = Reading { bases, issues: Issues::default(), provisions: Vec::new(), values: 0 };
    reading.consent(consent);
    reading.issues.settled()?;
    let active = consent.member("status").and_then(Node::text).as_deref() == Some("active");
    Ok(Compiled { provisions: if active { reading.provisions } else { Vec::new() } })
}

/// What a provision takes over from those around it.
#[derive(Clone)]
struct Around {
    parent: Option<usize>,
    /// Whether the innermost denies; `None`: what it is an exception of is the base policy.
    deny: Option<bool>,
    named: bool,
    period: Span,
    verbs: Verbs,
    purposes: Purposes,
    kinds: i64,
    conditions: Vec<Condition>,
}

struct Reading<'r> {
    bases: &'r [String],
    issues: Issues,
    provisions: Vec<Provision>,
    values: usize,
}

impl Reading<'_> {
    fn wrong(&mut self, at: &str, text: impl Into<Cow<'static, str>>) {
        self.issues.add(Issue::new(Code::Consent, text).at(at));
    }

    fn consent(&mut self, consent: Node<'_, '_>) {
        self.unmodified(consent, "Consent");
        if consent.member("implicitRules").is_some() {
            self.wrong("Consent.implicitRules", "rules that stand somewhere else are not known here: leave it out");
        }
        let scope = consent.member("scope").map(concept).unwrap_or_default();
        if !scope.iter().any(|coding| &*coding.system == terms::SCOPE && &*coding.code == "patient-privacy") {
            let text = format!("only consents of the scope {}|patient-privacy are kept", terms::SCOPE);
            self.wrong("Consent.scope", text);
        }
        if consent.member("patient").is_none() {
            self.wrong("Consent.patient", "ppc-2: a consent to privacy names its patient");
        }
        for (place, one) in items(consent, "verification").enumerate() {
            let at = format!("Consent.verification[{place}]");
            self.unmodified(one, &at);
            if one.member("verified").and_then(Node::flag) == Some(false) {
                self.wrong(&at, "a consent that is not verified is not enforced: keep it until it is");
            }
        }
        let rule = self.rule(consent);
        self.policy(consent, rule.is_some());
        let none = Around {
            parent: None,
            deny: None,
            named: false,
            period: Span::EVER,
            verbs: Verbs::all(),
            purposes: Purposes::all(),
            kinds: i64::MAX,
            conditions: Vec::new(),
        };
        match consent.member("provision") {
            Some(root) => self.root(root, rule, &none),
            None => {
                if let Some(deny) = rule {
                    self.keep(&none, deny, "Consent");
                }
            }
        }
    }

    /// What is refused wherever it stands: an extension that changes what the rest means.
    fn unmodified(&mut self, node: Node<'_, '_>, at: &str) {
        if node.member("modifierExtension").is_some() {
            self.wrong(
                &format!("{at}.modifierExtension"),
                "an extension that modifies is not known here: leave it out",
            );
        }
    }

    /// Whether what the provisions do not except is denied; `None`: the base policy says.
    fn rule(&mut self, consent: Node<'_, '_>) -> Option<bool> {
        let rule = consent.member("policyRule")?;
        let codings = concept(rule);
        let known = codings.iter().filter(|coding| &*coding.system == terms::RULE);
        let known: Vec<Option<bool>> = known.map(|coding| terms::rule(&coding.code)).collect();
        match known.as_slice() {
            [Some(deny)] if codings.len() == 1 => Some(*deny),
            _ => {
                self.wrong("Consent.policyRule", format!("it is not one of {}|OPTIN and OPTOUT", terms::RULE));
                None
            }
        }
    }

    fn policy(&mut self, consent: Node<'_, '_>, rule: bool) {
        let mut any = false;
        for (place, policy) in items(consent, "policy").enumerate() {
            let at = format!("Consent.policy[{place}]");
            self.unmodified(policy, &at);
            any = true;
            if policy.member("uri").and_then(Node::text).as_deref() != Some(POLICY) {
                self.wrong(&format!("{at}.uri"), format!("the one policy that is known here is {POLICY}"));
            }
        }
        if any == rule {
            let text = format!("ppc-1: it has either a policyRule or the policy {POLICY}");
            self.wrong("Consent.policy", text);
        }
    }

    /// The outermost provision: it says where the policy holds. R4 gives it no type; where one stands (IHE PCF), it is the rule.
    fn root(&mut self, root: Node<'_, '_>, rule: Option<bool>, none: &Around) {
        let at = "Consent.provision";
        let said = root.member("type").and_then(Node::text);
        let said = said.map(|said| said == "deny");
        if said.is_some() && rule.is_some() && said != rule {
            self.wrong(&format!("{at}.type"), "it contradicts the policyRule: leave it out");
        }
        let deny = said.or(rule);
        for member in ["action", "securityLabel", "dataPeriod"] {
            if deny.is_none() && root.member(member).is_some() {
                let text = "it is read otherwise for a permit than for a deny: put it into the provisions inside";
                self.wrong(&format!("{at}.{member}"), text);
            }
        }
        let Some(around) = self.read(root, at, deny, none) else { return };
        let around = match deny {
            Some(deny) => Around { parent: self.keep(&around, deny, at), deny: Some(deny), ..around },
            None => around,
        };
        self.inner(root, at, &around, 1);
    }

    fn inner(&mut self, node: Node<'_, '_>, at: &str, around: &Around, depth: usize) {
        for (place, inner) in items(node, "provision").enumerate() {
            let at = format!("{at}.provision[{place}]");
            if depth > DEEPEST || self.provisions.len() >= MOST {
                let text = format!("there are more than {MOST} provisions, or they stand more than {DEEPEST} deep");
                return self.wrong(&at, text);
            }
            let deny = match inner.member("type").and_then(Node::text).as_deref() {
                Some("deny") => true,
                Some("permit") => false,
                _ => {
                    self.wrong(&format!("{at}.type"), "a provision inside another one permits or denies");
                    continue;
                }
            };
            if around.deny == Some(deny) {
                let text = "an exception does the opposite of what it is an exception of: take it out, or beside it";
                self.wrong(&format!("{at}.type"), text);
                continue;
            }
            let Some(own) = self.read(inner, &at, Some(deny), around) else { continue };
            let own = Around { parent: self.keep(&own, deny, &at), deny: Some(deny), ..own };
            self.inner(inner, &at, &own, depth + 1);
        }
    }

    /// Keeps a provision; its place. What those around it ask is kept with each, so it counts with each.
    fn keep(&mut self, around: &Around, deny: bool, at: &str) -> Option<usize> {
        let values = around.conditions.iter().map(Condition::values).fold(0, usize::saturating_add);
        self.values = self.values.saturating_add(values);
        if self.values > VALUES {
            self.wrong(
                at,
                format!("provisions name more than {VALUES} values, with those of the provisions around them"),
            );
            return None;
        }
        let Around { parent, named, period, verbs, purposes, kinds, conditions, .. } = around.clone();
        self.provisions.push(Provision { parent, deny, named, period, verbs, purposes, kinds, conditions });
        Some(self.provisions.len() - 1)
    }

    /// What a provision asks, with all that those around it ask.
    fn read(&mut self, node: Node<'_, '_>, at: &str, deny: Option<bool>, around: &Around) -> Option<Around> {
        let denies = deny.unwrap_or(false);
        self.unmodified(node, at);
        let mut own = around.clone();
        if let Some(period) = node.member("period") {
            own.period = both(own.period, self.span(period, &format!("{at}.period"))?);
        }
        if node.member("action").is_some() {
            own.verbs = common(own.verbs, self.verbs(node, at, denies));
        }
        if node.member("purpose").is_some() {
            own.purposes = own.purposes.and(self.purposes(node, at));
        }
        if node.member("class").is_some() {
            own.kinds &= self.kinds(node, at);
        }
        if node.member("actor").is_some() {
            own.named = true;
            own.conditions.push(Condition::Actor(self.actors(node, at)));
        }
        if node.member("securityLabel").is_some() {
            own.conditions.push(Condition::Label(self.labels(node, at, denies)));
        }
        if node.member("code").is_some() {
            own.conditions.push(Condition::Coded(self.codes(node, at)));
        }
        if let Some(period) = node.member("dataPeriod") {
            let span = self.span(period, &format!("{at}.dataPeriod"))?;
            own.conditions.push(if denies { Condition::Overlaps(span) } else { Condition::Within(span) });
        }
        if node.member("data").is_some() {
            own.conditions.push(Condition::Data(self.data(node, at)));
        }
        Some(own)
    }

    fn span(&mut self, period: Node<'_, '_>, at: &str) -> Option<Span> {
        let bound =
            |name: &str| period.member(name).map(|node| node.text().and_then(|text| moment::date_time(&text, true)));
        let (start, end) = (bound("start"), bound("end"));
        if matches!(start, Some(None)) || matches!(end, Some(None)) || start.is_none() && end.is_none() {
            self.wrong(at, "a period has a start or an end that can be read");
            return None;
        }
        let low = start.flatten().map_or(Span::EVER.low, |start| start.low);
        Some(Span { low, high: end.flatten().map_or(Span::EVER.high, |end| end.high) })
    }

    fn verbs(&mut self, node: Node<'_, '_>, at: &str, deny: bool) -> Verbs {
        let mut all = Vec::new();
        for (place, action) in items(node, "action").enumerate() {
            let codings = concept(action);
            let known = codings.iter().filter(|coding| &*coding.system == terms::ACTION);
            let verbs = known.clone().filter_map(|coding| terms::verbs(&coding.code, deny));
            if codings.len() != 1 || verbs.clone().count() != 1 {
                let text = format!("it is not one of {}|access, collect, correct, disclose and use", terms::ACTION);
                self.wrong(&format!("{at}.action[{place}]"), text);
            }
            all.extend(verbs.flat_map(|verbs| verbs.iter().collect::<Vec<_>>()));
        }
        Verbs::of(all)
    }

    fn purposes(&mut self, node: Node<'_, '_>, at: &str) -> Purposes {
        let mut all = Purposes::default();
        for (place, purpose) in items(node, "purpose").enumerate() {
            match coding(purpose).filter(|coding| &*coding.system == terms::PURPOSE) {
                Some(coding) => all = all.or(terms::purposes(&coding.code)),
                None => {
                    let text = format!("a purpose is a code of {}", terms::PURPOSE);
                    self.wrong(&format!("{at}.purpose[{place}]"), text);
                }
            }
        }
        all
    }

    fn kinds(&mut self, node: Node<'_, '_>, at: &str) -> i64 {
        let mut all = 0;
        for (place, class) in items(node, "class").enumerate() {
            let known = |coding: &Coding| {
                &*coding.system == terms::CLASS && Definitions::r4().codes.has("all-types", &coding.code)
            };
            match coding(class).filter(known) {
                Some(coding) => all |= terms::class(&coding.code),
                None => {
                    let text = format!("a class is the type of a resource, of {}", terms::CLASS);
                    self.wrong(&format!("{at}.class[{place}]"), text);
                }
            }
        }
        all
    }

    fn actors(&mut self, node: Node<'_, '_>, at: &str) -> Vec<(Kind, Id)> {
        let mut all = Vec::new();
        for (place, actor) in items(node, "actor").enumerate() {
            let at = format!("{at}.actor[{place}]");
            self.unmodified(actor, &at);
            let roles = actor.member("role").map(concept).unwrap_or_default();
            let known = |role: &Coding| &*role.system == terms::ROLE && terms::is_recipient(&role.code);
            if !matches!(roles.as_slice(), [role] if known(role)) {
                let text = format!("who reads here is {}|IRCP or PRCP, a recipient of information", terms::ROLE);
                self.wrong(&format!("{at}.role"), text);
            }
            let kinds = [Kind::PRACTITIONER, Kind::PRACTITIONER_ROLE, Kind::ORGANIZATION, Kind::DEVICE, Kind::PATIENT];
            match self.local(actor).filter(|(kind, _)| kinds.contains(kind)) {
                Some(found) => all.push(found),
                None => {
                    let text =
                        "an actor is a Practitioner, PractitionerRole, Organization, Device or Patient who is here";
                    self.wrong(&format!("{at}.reference"), text);
                }
            }
        }
        all
    }

    fn labels(&mut self, node: Node<'_, '_>, at: &str, deny: bool) -> Vec<Coding> {
        let mut all = Vec::new();
        for (place, label) in items(node, "securityLabel").enumerate() {
            let at = format!("{at}.securityLabel[{place}]");
            match coding(label) {
                Some(coding) => {
                    let covered = terms::labels(&coding.system, &coding.code, deny);
                    all.extend(
                        covered.iter().map(|code| Coding { system: coding.system.clone(), code: Box::from(*code) }),
                    );
                }
                None => self.wrong(&at, "a label has a system and a code"),
            }
        }
        all
    }

    fn codes(&mut self, node: Node<'_, '_>, at: &str) -> Vec<Coding> {
        let mut all = Vec::new();
        for (place, code) in items(node, "code").enumerate() {
            let at = format!("{at}.code[{place}]");
            let codings = concept(code);
            if codings.is_empty() || codings.iter().any(|coding| coding.system.is_empty() || coding.code.is_empty()) {
                self.wrong(&at, "a code has a system and a code: text alone finds nothing");
            }
            all.extend(codings);
        }
        all
    }

    fn data(&mut self, node: Node<'_, '_>, at: &str) -> Vec<(Meaning, Kind, Id)> {
        let mut all = Vec::new();
        for (place, data) in items(node, "data").enumerate() {
            let at = format!("{at}.data[{place}]");
            self.unmodified(data, &at);
            let said = data.member("meaning").and_then(Node::text).unwrap_or_default();
            let meaning = Meaning::NAMES.iter().find(|(_, name)| *name == said).map(|(meaning, _)| *meaning);
            match (meaning, self.local(data)) {
                (Some(meaning), Some((kind, id))) => all.push((meaning, kind, id)),
                (None, _) => self.wrong(&format!("{at}.meaning"), "it is none of R4's meanings"),
                (_, None) => self.wrong(&format!("{at}.reference"), "data is a resource that is here"),
            }
        }
        all
    }

    /// The resource here that `node` refers to, whatever version of it.
    fn local(&self, node: Node<'_, '_>) -> Option<(Kind, Id)> {
        let text = node.member("reference")?.member("reference")?.text()?;
        match Reference::read(&text, self.bases)? {
            Reference::Local(kind, id, None) => Some((kind, id)),
            Reference::Local(..)
            | Reference::Nowhere(_)
            | Reference::Unserved(..)
            | Reference::Contained(_)
            | Reference::Absolute(_) => None,
        }
    }
}

fn items<'d, 'a>(node: Node<'d, 'a>, name: &str) -> impl Iterator<Item = Node<'d, 'a>> {
    node.member(name).into_iter().flat_map(Node::items)
}

/// A coding that has a system and a code.
fn coding(node: Node<'_, '_>) -> Option<Coding> {
    let text = |name: &str| node.member(name).and_then(Node::text).map(|text| Box::from(&*text));
    Some(Coding { system: text("system")?, code: text("code")? })
}

/// The codings of a concept; what is missing of one is empty.
fn concept(node: Node<'_, '_>) -> Vec<Coding> {
    let text = |node: Node<'_, '_>, name: &str| {
        node.member(name).and_then(Node::text).map(|text| Box::from(&*text)).unwrap_or_default()
    };
    items(node, "coding").map(|one| Coding { system: text(one, "system"), code: text(one, "code") }).collect()
}

fn both(a: Span, b: Span) -> Span {
    Span { low: a.low.max(b.low), high: a.high.min(b.high) }
}

fn common(a: Verbs, b: Verbs) -> Verbs {
    Verbs::of(Verb::ALL.into_iter().filter(|verb| a.has(*verb) && b.has(*verb)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Document, Limits};
    use proptest::prelude::{any, prop, proptest};

    /// Those with which the fuzzer begins, too.
    const WRITTEN: [&str; 3] = [
        include_str!("../../../../fuzz/corpus/fhir_consent/elements"),
        include_str!("../../../../fuzz/corpus/fhir_consent/optout"),
        include_str!("../../../../fuzz/corpus/fhir_consent/root_type"),
    ];

    fn compiled(text: &str) -> Option<Compiled> {
        let document = Document::read(text.as_bytes(), &Limits::RESOURCE).ok()?;
        compile(document.root(), &[]).ok()
    }

    #[test]
    fn what_stands_around_a_provision_stands_in_it() {
        let [elements, optout, root] = WRITTEN.map(|text| compiled(text).expect("it is understood").provisions);
        let told: Vec<_> = elements.iter().map(|provision| (provision.parent, provision.deny)).collect();
        assert_eq!(told, [(None, true), (Some(0), false), (Some(1), true)]);
        assert_eq!(elements[0].conditions.len(), 5);
        assert!(elements.iter().all(|provision| provision.named && provision.conditions == elements[0].conditions));
        assert_eq!(
            (elements[1].kinds, elements[2].kinds),
            (terms::bit(Kind::OBSERVATION), 0),
            "no Observation is a Device"
        );
        assert_eq!(elements[2].period.low, moment::date("2024").expect("a year").low);
        assert!(matches!(optout.as_slice(), [Provision { parent: None, deny: true, .. }]));
        let [all, emergency] = root.as_slice() else { panic!("two: {root:?}") };
        assert!(all.deny && !emergency.deny && emergency.purposes == Purposes::default(), "nobody asks so here");
    }

    proptest! {
        /// Shows REQ-CONS-18: any text is compiled within bounds or refused; each exception has its place and asks for less.
        #[test]
        fn compiling_is_total(which in 0..3_usize, cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)) {
            let mut text = WRITTEN[which].as_bytes().to_vec();
            for (place, byte) in cuts {
                let place = place.index(text.len());
                text[place] = byte;
            }
            for (place, provision) in compiled(&String::from_utf8_lossy(&text)).into_iter().flat_map(|all| all.provisions).enumerate() {
                proptest::prop_assert!(place <= MOST && provision.parent.is_none_or(|parent| parent < place));
            }
        }
    }
}
