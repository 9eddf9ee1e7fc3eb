//! What a token of one patient learns of another: nothing, whatever it searches, names or writes.
//!
//! Software in its own name writes another patient with a reading whose values nothing else has, and the patient's app then looks
//! for them in every way. A search that a server does not serve at all tells nothing either: it is skipped.

use super::case::{Case, Given, Told, after, case, ensure, failed, skipped};
use super::launch::Launched;
use super::standalone::entries;
use super::subject::{Subject, number};
use super::web::Answer;
use http::{Method, StatusCode};
use serde_json::{Value, json};

pub(super) const CASES: &[Case] = &[
    case!(read_is_no_oracle, "what is not seen is answered as what is not there", read),
    case!(history_is_no_oracle, "its versions too", history),
    case!(id_is_no_oracle, "it is not found by its identifier", id),
    case!(filter_is_no_oracle, "nor by its values, nor by what they are not", filter),
    case!(has_is_no_oracle, "nor by who refers to it (_has)", has),
    case!(chain_is_no_oracle, "nor by what it refers to (chained search)", chain),
    case!(include_is_no_oracle, "it does not come with what refers to it (_include)", include),
    case!(revinclude_is_no_oracle, "nor with what it refers to (_revinclude)", revinclude),
    case!(sort_is_no_oracle, "it takes no place in an order (_sort, _count)", sort),
    case!(total_is_no_oracle, "nor in a number (_total, _summary=count)", total),
    case!(everything_is_no_oracle, "nor in another patient's $everything", everything),
    case!(batch_is_no_oracle, "a batch reads it no more than a read", batch),
    case!(conditional_create_is_no_oracle, "a condition does not say that it is there", conditional_create),
    case!(reference_is_no_oracle, "who refers to it is answered as who refers to nothing", reference),
    case!(transaction_across_patients, "a transaction with another patient's entry does nothing at all", transaction),
    case!(update_across_patients, "what is one patient's does not become another's", update),
    case!(conditional_delete_is_no_oracle, "a condition does not delete it", conditional_delete),
];

const SYSTEM: &str = "urn:medlock:conformance";

/// What was written for this.
#[derive(Clone, Debug)]
pub(super) struct Planted {
    /// Another patient, by identifier and family name.
    other: String,
    family: String,
    /// A code that only the other's reading has.
    secret: String,
    /// The other's reading.
    hidden: String,
    /// A reading of the app's own patient, to which the hidden one refers.
    own: String,
    /// One that refers to the hidden one, if the server takes it.
    points: Option<String>,
    /// How many readings the app saw before.
    before: Option<i64>,
}

fn observation(patient: &str, code: &str) -> Value {
    json!({
        "resourceType": "Observation", "status": "final", "code": { "coding": [{ "system": SYSTEM, "code": code }] },
        "subject": { "reference": format!("Patient/{patient}") }, "effectiveDateTime": "2031-01-01T08:00:00Z",
        "valueQuantity": { "value": 77_777, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL" },
    })
}

/// How many are told.
async fn count(subject: &Subject, launched: &Launched) -> Given<Option<i64>> {
    let answer = subject.get("Observation?_summary=count", launched.token()?).await?;
    Ok(answer.json()["total"].as_i64().filter(|_| answer.status.is_success()))
}

async fn plant(subject: &Subject) -> Given<Planted> {
    let token = after("smart_backend_services_auth_request_success", subject.backend_token().await)?;
    let launched = after("smart_token_exchange_stu2_2", subject.launched().await)?;
    let mine = launched.text("patient")?;
    let wrong = |unfit| match unfit {
        super::case::Unfit::Failed(why) => {
            skipped(format!("needs --client-id that may write Patient and Observation: {why}"))
        }
        skipped => skipped,
    };
    let (family, secret) = (format!("Conformance{}", &number()[..12]), format!("secret-{}", &number()[..12]));
    let own = subject.write(&token, &observation(mine, "own")).await.map_err(wrong)?;
    let before = count(subject, launched).await?;
    let patient = json!({ "resourceType": "Patient", "name": [{ "family": family }], "birthDate": "1903-02-01" });
    let other = subject.write(&token, &patient).await.map_err(wrong)?;
    let mut reading = observation(&other, &secret);
    reading["identifier"] = json!([{ "system": SYSTEM, "value": secret }]);
    reading["hasMember"] = json!([{ "reference": format!("Observation/{own}") }]);
    let hidden = match subject.write(&token, &reading).await {
        Ok(hidden) => hidden,
        // Some keep patients apart also in references.
        Err(_) => {
            reading.as_object_mut().map(|reading| reading.remove("hasMember"));
            subject.write(&token, &reading).await.map_err(wrong)?
        }
    };
    let mut pointing = observation(mine, "own");
    pointing["hasMember"] = json!([{ "reference": format!("Observation/{hidden}") }]);
    let points = subject.write(&token, &pointing).await.ok();
    Ok(Planted {
        other,
        family,
        secret,
        hidden,
        own,
        before: before.map(|before| before + i64::from(points.is_some())),
        points,
    })
}

/// What was written, and who looks for it.
async fn planted(subject: &Subject) -> Given<(&Planted, &Launched)> {
    let planted = subject.shared.planted.get_or_init(|| plant(subject)).await.as_ref().map_err(Clone::clone)?;
    let launched = subject.launched().await?;
    let mine = subject.get(&format!("Observation/{}", planted.own), launched.token()?).await?;
    if mine.status != StatusCode::OK {
        return Err(skipped(format!("needs a person whose own readings are seen: {mine}")));
    }
    Ok((planted, launched))
}

/// Whether it stands in an answer.
fn shows(answer: &Answer, planted: &Planted) -> bool {
    let text = String::from_utf8_lossy(&answer.body);
    entries(answer).iter().any(|one| one["id"] == planted.hidden.as_str() || one["id"] == planted.other.as_str())
        || text.contains("77777") && text.contains(&planted.secret)
}

/// A search that finds it for who may see it, and nothing for who may not.
async fn finds_nothing(subject: &Subject, query: &str) -> Told {
    let (planted, launched) = planted(subject).await?;
    let token = subject.backend_token().await?;
    let control = subject.get(query, &token).await?;
    let found = entries(&control).len();
    if !control.status.is_success() || found == 0 {
        return Err(skipped(format!("needs a server that serves this search: {control}")));
    }
    let answer = subject.get(query, launched.token()?).await?;
    let kind = query.split('?').next().unwrap_or_default();
    let seen = entries(&answer);
    let named = seen.iter().filter(|one| one["resourceType"] == kind).count();
    ensure(!shows(&answer, planted) && named == 0, format!("{query} finds {named} for who may not see it"))?;
    let total = answer.json()["total"].as_i64().unwrap_or_default();
    ensure(total == 0, format!("{query} says that there are {total}"))
}

/// All of these; skipped only if none is served.
async fn all_find_nothing(subject: &Subject, queries: &[String]) -> Told {
    let mut served = false;
    let mut last = Ok(());
    for query in queries {
        match finds_nothing(subject, query).await {
            Ok(()) => served = true,
            Err(failed @ super::case::Unfit::Failed(_)) => return Err(failed),
            skipped => last = skipped,
        }
    }
    if served { Ok(()) } else { last }
}

/// An identifier of the same form that nothing has.
pub(super) fn like(id: &str) -> String {
    let next = |letter: char| match letter {
        '9' => '0',
        'f' => 'a',
        'z' => 'g',
        'F' => 'A',
        'Z' => 'G',
        letter if letter.is_ascii_alphanumeric() => char::from(letter as u8 + 1),
        other => other,
    };
    id.chars().map(next).collect()
}

async fn read(subject: &Subject) -> Told {
    let (planted, launched) = planted(subject).await?;
    let (hidden, other) = (&planted.hidden, &planted.other);
    same(subject, launched, &format!("Observation/{hidden}"), &format!("Observation/{}", like(hidden))).await?;
    same(subject, launched, &format!("Patient/{other}"), &format!("Patient/{}", like(other))).await
}

/// Two addresses are answered with the same status, and it is no success.
async fn same(subject: &Subject, launched: &Launched, hidden: &str, nothing: &str) -> Told {
    let (first, second) =
        (subject.get(hidden, launched.token()?).await?, subject.get(nothing, launched.token()?).await?);
    ensure(!first.status.is_success(), first.to_string())?;
    let (first, second) = (first.status.as_u16(), second.status.as_u16());
    ensure(first == second, format!("what is not seen is answered {first}, and what is not there {second}"))
}

async fn history(subject: &Subject) -> Told {
    let (planted, launched) = planted(subject).await?;
    for path in ["_history", "_history/1"] {
        let (hidden, nothing) =
            (format!("Observation/{}/{path}", planted.hidden), format!("Observation/{}/{path}", number()));
        let answer = subject.get(&hidden, launched.token()?).await?;
        if answer.status.is_success() {
            ensure(!shows(&answer, planted), format!("{hidden} shows it"))?;
        } else {
            same(subject, launched, &hidden, &nothing).await?;
        }
    }
    let all = subject.get("Observation/_history?_count=50", launched.token()?).await?;
    ensure(!shows(&all, planted), "Observation/_history shows it")
}

async fn id(subject: &Subject) -> Told {
    let (planted, _) = planted(subject).await?;
    let queries = [format!("Observation?_id={}", planted.hidden), format!("Patient?_id={}", planted.other)];
    all_find_nothing(subject, &queries).await
}

async fn filter(subject: &Subject) -> Told {
    let (planted, launched) = planted(subject).await?;
    let queries = [
        format!("Observation?code={}", planted.secret),
        format!("Observation?code={SYSTEM}|{}", planted.secret),
        format!("Observation?identifier={}", planted.secret),
        format!("Observation?patient={}", planted.other),
        format!("Observation?subject=Patient/{}", planted.other),
        format!("Patient?family={}", planted.family),
        format!("Patient?name={}", planted.family),
        "Patient?birthdate=1903-02-01".to_owned(),
    ];
    all_find_nothing(subject, &queries).await?;
    for query in
        ["Observation?code:not=own&_count=50", "Observation?date=gt2030-12-31&_count=50", "Patient?birthdate=lt1904"]
    {
        let answer = subject.get(query, launched.token()?).await?;
        ensure(!shows(&answer, planted), format!("{query} shows it"))?;
    }
    Ok(())
}

async fn has(subject: &Subject) -> Told {
    let (planted, _) = planted(subject).await?;
    let secret = &planted.secret;
    let queries = [
        format!("Patient?_has:Observation:patient:code={secret}"),
        format!("Patient?_has:Observation:subject:identifier={secret}"),
        format!("Observation?_has:Observation:has-member:code={secret}"),
    ];
    all_find_nothing(subject, &queries).await
}

async fn chain(subject: &Subject) -> Told {
    let (planted, _) = planted(subject).await?;
    let (family, secret) = (&planted.family, &planted.secret);
    let queries = [
        format!("Observation?patient.family={family}"),
        format!("Observation?subject:Patient.family={family}"),
        "Observation?patient.birthdate=1903-02-01".to_owned(),
        format!("Observation?has-member:Observation.code={secret}"),
    ];
    all_find_nothing(subject, &queries).await
}

async fn include(subject: &Subject) -> Told {
    let (planted, launched) = planted(subject).await?;
    let points = planted
        .points
        .as_ref()
        .ok_or_else(|| skipped("needs a server that lets one patient's reading refer to another's"))?;
    came_alone(subject, &format!("Observation?_id={points}&_include=Observation:has-member"), (planted, launched)).await
}

async fn revinclude(subject: &Subject) -> Told {
    let (planted, launched) = planted(subject).await?;
    let own = &planted.own;
    came_alone(subject, &format!("Observation?_id={own}&_revinclude=Observation:has-member"), (planted, launched)).await
}

/// What comes with a search for who may see it, and does not for who may not.
async fn came_alone(subject: &Subject, query: &str, (planted, launched): (&Planted, &Launched)) -> Told {
    let control = subject.get(query, &subject.backend_token().await?).await?;
    if !shows(&control, planted) {
        return Err(skipped(format!("needs a server that serves this: {control}")));
    }
    let answer = subject.get(query, launched.token()?).await?;
    ensure(answer.status.is_success() && !entries(&answer).is_empty(), answer.to_string())?;
    ensure(!shows(&answer, planted), format!("{query} shows it"))
}

async fn sort(subject: &Subject) -> Told {
    let (planted, launched) = planted(subject).await?;
    let mut seen = Vec::new();
    for sort in ["date", "-date", "_lastUpdated", "-_lastUpdated"] {
        let mut next = Some(subject.fhir(&format!("Observation?_sort={sort}&_count=1&code={SYSTEM}|own")));
        let mut found = 0;
        while let Some(url) = next.take().filter(|_| found < 20) {
            let answer = subject.web.get(url).bearer(launched.token()?).send().await?;
            if !answer.status.is_success() {
                break;
            }
            ensure(!shows(&answer, planted), format!("_sort={sort} shows it"))?;
            let page = entries(&answer).len();
            ensure(page <= 1, format!("_count=1 brought {page}"))?;
            found += page;
            let told = answer.json();
            let links = told["link"].as_array().cloned().unwrap_or_default();
            let link = links.iter().find(|link| link["relation"] == "next").and_then(|link| link["url"].as_str());
            // A page that is empty where another follows says that something is there.
            ensure(page == 1 || link.is_none(), format!("_sort={sort} has an empty page"))?;
            next = link.map(str::to_owned);
        }
        if found > 0 {
            seen.push(found);
        }
    }
    if seen.is_empty() {
        return Err(skipped("needs a server that serves _sort"));
    }
    ensure(seen.iter().all(|found| *found == seen[0]), format!("another order brings another number: {seen:?}"))
}

async fn total(subject: &Subject) -> Told {
    let (planted, launched) = planted(subject).await?;
    let before = planted.before.ok_or_else(|| skipped("needs a server that tells a number (_summary=count)"))?;
    let after = count(subject, launched).await?.ok_or_else(|| failed("no number is told any more"))?;
    ensure(before == after, format!("there were {before}, and with another patient's there are {after}"))?;
    for query in ["_total=accurate&_count=1", "_total=estimate&_count=1"] {
        let answer = subject.get(&format!("Observation?{query}"), launched.token()?).await?;
        let told = answer.json()["total"].as_i64();
        ensure(told.is_none_or(|told| told == after), format!("{query} tells {told:?}, and _summary=count {after}"))?;
    }
    Ok(())
}

async fn everything(subject: &Subject) -> Told {
    let (planted, launched) = planted(subject).await?;
    let of = |id: &str| format!("Patient/{id}/$everything");
    same(subject, launched, &of(&planted.other), &of(&like(&planted.other))).await
}

async fn batch(subject: &Subject) -> Told {
    let (planted, launched) = planted(subject).await?;
    let urls = [
        format!("Observation/{}", planted.hidden),
        format!("Patient/{}", planted.other),
        format!("Observation?code={}", planted.secret),
        format!("Patient?_has:Observation:patient:code={}", planted.secret),
    ];
    let entries: Vec<Value> = urls.iter().map(|url| json!({ "request": { "method": "GET", "url": url } })).collect();
    let bundle = json!({ "resourceType": "Bundle", "type": "batch", "entry": entries });
    let answer =
        subject.web.ask(Method::POST, &subject.base).bearer(launched.token()?).resource(&bundle).send().await?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let shown = text.contains("77777") || text.contains(&planted.family);
    ensure(!shown, "an entry of a batch shows it")
}

/// Who may write, or why not.
async fn writer(subject: &Subject) -> Given<(&Planted, &Launched, &str)> {
    let (planted, launched) = planted(subject).await?;
    if launched.writes("Observation") {
        Ok((planted, launched, launched.text("patient")?))
    } else {
        Err(skipped("needs an app that may write Observations: --app-scope with patient/*.cruds"))
    }
}

async fn conditional_create(subject: &Subject) -> Told {
    let (planted, launched, mine) = writer(subject).await?;
    let condition = format!("identifier={SYSTEM}|{}", planted.secret);
    let ask = subject.ask(Method::POST, "Observation", launched.token()?).header("if-none-exist", condition);
    let answer = ask.resource(&observation(mine, "own")).send().await?;
    if let Some(id) = answer.text("id") {
        subject.remember(format!("Observation/{id}"));
    }
    ensure(
        answer.status != StatusCode::OK && answer.status != StatusCode::PRECONDITION_FAILED,
        format!("the condition says that it is there: {answer}"),
    )
}

async fn conditional_delete(subject: &Subject) -> Told {
    let (planted, launched, _) = writer(subject).await?;
    let path = format!("Observation?identifier={SYSTEM}|{}", planted.secret);
    subject.ask(Method::DELETE, &path, launched.token()?).send().await?;
    stays(subject, planted).await
}

/// It is as it was.
async fn stays(subject: &Subject, planted: &Planted) -> Told {
    let answer = subject.get(&format!("Observation/{}", planted.hidden), &subject.backend_token().await?).await?;
    let subject = answer.json()["subject"]["reference"].as_str().unwrap_or_default().to_owned();
    ensure(
        answer.status == StatusCode::OK && subject.ends_with(&planted.other),
        format!("it is not as it was: {answer}"),
    )
}

async fn reference(subject: &Subject) -> Told {
    let (planted, launched, mine) = writer(subject).await?;
    let mut told = Vec::new();
    for id in [planted.hidden.clone(), like(&planted.hidden), number()] {
        let mut pointing = observation(mine, "own");
        pointing["hasMember"] = json!([{ "reference": format!("Observation/{id}") }]);
        let answer = subject.ask(Method::POST, "Observation", launched.token()?).resource(&pointing).send().await?;
        if let Some(id) = answer.text("id") {
            subject.remember(format!("Observation/{id}"));
        }
        let text = String::from_utf8_lossy(&answer.body).replace(&id, "ID");
        told.push((answer.status.as_u16(), if answer.status.is_success() { String::new() } else { text }));
    }
    ensure(
        told[0] == told[1],
        format!("what is not seen is answered {:?}, and what is not there {:?}", told[0], told[1]),
    )
}

async fn transaction(subject: &Subject) -> Told {
    let (planted, launched, mine) = writer(subject).await?;
    let mark = format!("torn-{}", &number()[..12]);
    let entry = |patient: &str| json!({ "resource": observation(patient, &mark), "request": { "method": "POST", "url": "Observation" } });
    let bundle =
        json!({ "resourceType": "Bundle", "type": "transaction", "entry": [entry(mine), entry(&planted.other)] });
    let answer =
        subject.web.ask(Method::POST, &subject.base).bearer(launched.token()?).resource(&bundle).send().await?;
    ensure(!answer.status.is_success(), "a transaction wrote into another patient's record")?;
    let found = subject.get(&format!("Observation?code={mark}"), &subject.backend_token().await?).await?;
    let written = entries(&found).len();
    ensure(found.status.is_success() && written == 0, format!("{written} of its entries were written: {found}"))
}

async fn update(subject: &Subject) -> Told {
    let (planted, launched, mine) = writer(subject).await?;
    // Another's, as one's own; and one's own, as another's.
    for (id, patient) in [(&planted.hidden, mine), (&planted.own, planted.other.as_str())] {
        let mut resource = observation(patient, "own");
        resource["id"] = json!(id);
        let answer = subject
            .ask(Method::PUT, &format!("Observation/{id}"), launched.token()?)
            .resource(&resource)
            .send()
            .await?;
        ensure(!answer.status.is_success(), answer.to_string())?;
    }
    stays(subject, planted).await
}
