//! Rules of R4 over several elements, by hand: those that resources of the kinds kept here meet.

use crate::json::{Node, Sort};
use crate::moment;
use std::collections::HashSet;

/// The rules that are checked, by their keys in the definitions.
pub const CHECKED: [&str; 32] = [
    "att-1", "cpt-2", "dom-2", "dom-3", "dom-4", "dom-5", "drt-1", "ele-1", "ext-1", "mad-1", "obs-3", "obs-6",
    "obs-7", "org-1", "org-2", "org-3", "pat-1", "per-1", "prr-1", "qty-3", "rat-1", "ref-1", "rng-2", "tim-1",
    "tim-2", "tim-4", "tim-5", "tim-6", "tim-7", "tim-8", "tim-9", "tim-10",
];

/// Hands the rules that a value of `shape` breaks to `broken`.
pub(super) fn check(shape: &str, node: Node<'_, '_>, broken: &mut dyn FnMut(&'static str)) {
    let has = |name: &str| node.member(name).is_some();
    let mut rule = |holds: bool, text: &'static str| {
        if !holds {
            broken(text);
        }
    };
    match shape {
        "Extension" => {
            rule(has("extension") != any_value(node), "ext-1: an extension has a value or extensions, and not both");
        }
        "Attachment" => rule(!has("data") || has("contentType"), "att-1: data has a contentType"),
        "ContactPoint" => rule(!has("value") || has("system"), "cpt-2: a value has a system"),
        "Period" => rule(period_is_in_order(node), "per-1: a period does not end before it begins"),
        "Range" => rule(range_is_in_order(node), "rng-2: low is not above high"),
        "Quantity" | "Age" | "Count" | "Distance" | "Duration" => {
            rule(!has("code") || has("system"), "qty-3: a code has a system");
            let ucum = node.member("system").and_then(Node::text).as_deref() == Some("http://unitsofmeasure.org");
            rule(shape != "Duration" || !has("code") || ucum && has("value"), "drt-1: a duration is a value in UCUM");
        }
        "Timing.repeat" => repeat(node, &mut rule),
        "MedicationAdministration.dosage" => {
            let rate = ["rateRatio", "rateQuantity"].into_iter().any(has);
            rule(has("dose") || rate, "mad-1: a dosage has a dose or a rate");
        }
        "ServiceRequest" => {
            rule(!has("orderDetail") || has("code"), "prr-1: details of an order stand beside its code");
        }
        "Ratio" => rule(
            has("numerator") == has("denominator") && (has("numerator") || has("extension")),
            "rat-1: numerator and denominator are both there, or an extension instead",
        ),
        "Observation" => observation(node, &mut rule),
        "Observation.referenceRange" => {
            rule(has("low") || has("high") || has("text"), "obs-3: a reference range has low, high or text");
        }
        "Organization" => organization(node, &mut rule),
        "Patient.contact" => rule(
            ["name", "telecom", "address", "organization"].into_iter().any(has),
            "pat-1: a contact has a name, a telecom, an address or an organization",
        ),
        _ => {}
    }
}

fn repeat(node: Node<'_, '_>, rule: &mut dyn FnMut(bool, &'static str)) {
    let has = |name: &str| node.member(name).is_some();
    let not_negative = |name: &str| node.member(name).is_none_or(|value| !value.source().starts_with('-'));
    rule(!has("duration") || has("durationUnit"), "tim-1: a duration has a unit");
    rule(!has("period") || has("periodUnit"), "tim-2: a period has a unit");
    rule(not_negative("duration"), "tim-4: a duration is not negative");
    rule(not_negative("period"), "tim-5: a period is not negative");
    rule(!has("periodMax") || has("period"), "tim-6: a longest period stands beside a period");
    rule(!has("durationMax") || has("duration"), "tim-7: a longest duration stands beside a duration");
    rule(!has("countMax") || has("count"), "tim-8: a largest count stands beside a count");
    let when = node.member("when");
    let mut meals = when.iter().flat_map(|when| when.items()).filter_map(Node::text);
    let at_meal = meals.any(|when| ["C", "CM", "CD", "CV"].contains(&when.as_ref()));
    rule(!has("offset") || has("when") && !at_meal, "tim-9: an offset is from an event, and from no meal itself");
    rule(!has("timeOfDay") || !has("when"), "tim-10: a time of day and an event are not both given");
}

fn any_value(node: Node<'_, '_>) -> bool {
    node.members().any(|(name, _)| name.trim_start_matches('_').starts_with("value"))
}

fn period_is_in_order(node: Node<'_, '_>) -> bool {
    let span = |name: &str| node.member(name).and_then(Node::text).and_then(|text| moment::date_time(&text, true));
    match (span("start"), span("end")) {
        (Some(start), Some(end)) => start.low <= end.high,
        _ => true,
    }
}

fn range_is_in_order(node: Node<'_, '_>) -> bool {
    let value = |name: &str| {
        node.member(name).and_then(|bound| bound.member("value")).and_then(Node::number).map(|number| number.key())
    };
    match (value("low"), value("high")) {
        (Some(low), Some(high)) => low <= high,
        _ => true,
    }
}

fn observation(node: Node<'_, '_>, rule: &mut dyn FnMut(bool, &'static str)) {
    let value = any_value(node);
    rule(!value || node.member("dataAbsentReason").is_none(), "obs-6: there is a value, or a reason why there is none");
    let codings = |of: Node<'_, '_>| -> HashSet<(String, String)> {
        let code = of.member("code");
        let codings =
            code.iter().flat_map(|code| code.member("coding")).flat_map(|codings| codings.items().collect::<Vec<_>>());
        codings
            .map(|coding| {
                let part = |name: &str| coding.member(name).and_then(Node::text).unwrap_or_default().into_owned();
                (part("system"), part("code"))
            })
            .collect()
    };
    if value && let Some(components) = node.member("component") {
        let own = codings(node);
        let same = components.items().any(|component| !own.is_disjoint(&codings(component)));
        rule(!same, "obs-7: a component with the code of the observation itself has its value");
    }
}

fn organization(node: Node<'_, '_>, rule: &mut dyn FnMut(bool, &'static str)) {
    rule(
        node.member("identifier").is_some() || node.member("name").is_some(),
        "org-1: an organization has a name or an identifier",
    );
    let home = |list: &str| {
        let all = node.member(list);
        all.iter()
            .flat_map(|all| all.items())
            .any(|one| one.member("use").and_then(Node::text).as_deref() == Some("home"))
    };
    rule(!home("address"), "org-2: an organization has no home address");
    rule(!home("telecom"), "org-3: an organization has no home telecom");
}

/// The rules about contained resources, of the resource that contains them.
pub(super) fn of_contained(resource: Node<'_, '_>, broken: &mut dyn FnMut(&'static str)) {
    let Some(contained) = resource.member("contained").filter(|contained| contained.sort() == Sort::Array) else {
        // Without any, a reference to one leads nowhere.
        if !references(resource).is_empty() {
            broken("ref-1: a reference to a contained resource leads to one");
        }
        return;
    };
    let ids: HashSet<String> =
        contained.items().filter_map(|one| Some(one.member("id")?.text()?.into_owned())).collect();
    let referred = references(resource);
    if referred.iter().any(|to| !to.is_empty() && !ids.contains(to)) {
        broken("ref-1: a reference to a contained resource leads to one");
    }
    // A contained resource may also refer to the one that contains it.
    let upwards = |one: Node<'_, '_>| references(one).iter().any(String::is_empty);
    let lost = contained.items().any(|one| {
        let id = one.member("id").and_then(Node::text).unwrap_or_default();
        !referred.contains(id.as_ref()) && !upwards(one)
    });
    if lost {
        broken("dom-3: a contained resource is referred to");
    }
    let has =
        |member: &str| contained.items().filter_map(|one| one.member("meta")).any(|meta| meta.member(member).is_some());
    if has("versionId") || has("lastUpdated") {
        broken("dom-4: a contained resource has neither versionId nor lastUpdated");
    }
    if has("security") {
        broken("dom-5: a contained resource has no security label");
    }
}

/// What is referred to inside the resource. The depth of a document is bounded.
fn references(node: Node<'_, '_>) -> HashSet<String> {
    let mut found = HashSet::new();
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        for (name, value) in node.members() {
            if ["reference", "valueCanonical", "valueUri"].contains(&name.as_ref())
                && let Some(text) = value.text()
                && let Some(inside) = text.strip_prefix('#')
            {
                found.insert(inside.to_owned());
            }
            open.push(value);
        }
        open.extend(node.items());
    }
    found
}
