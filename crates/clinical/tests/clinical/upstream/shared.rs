//! A computer that several people share, at whose provider somebody is signed in already.

use super::*;

/// Shows REQ-SMART-120, REQ-SMART-121, REQ-SMART-122: an account is linked to who signs in at the provider just then, and not to who was
/// signed in there; the person sees whom it is about, and may say that it is somebody else; an account that is linked stays so.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_linked_to_who_signs_in_just_then() {
    let mut provider = Provider::new();
    provider.start_real(&client(), &[("one", "RS256")]);
    let ward = Ward::at(provider.house(|config| config.unknown = Unknown::Code)).await;
    let house = &ward.house;
    let app = house.app("public", json!({})).await;
    // Doe is signed in at the computer of the ward; nobody knows Doe here.
    let mut visitor = Visitor::new(&provider);
    let sent = begin(&mut Browser::new(house), &query(&app.id, &[])).await;
    visitor.sign_in(sent.header("location"), "doe");
    assert_eq!(visitor.asked, 1);
    // Anna sits there now, and the provider asks nothing.
    let mut browser = Browser::new(house);
    let sent = begin(&mut browser, &query(&app.id, &[])).await;
    let answer = visitor.sign_in(sent.header("location"), "a-17");
    assert_eq!(visitor.asked, 1, "the provider has signed in who was signed in");
    let page = come_afresh(house, &mut browser, &mut visitor, &answer, "doe").await;
    assert!(page.text.contains("&lt;b&gt;doe&lt;/b&gt;, doe@ward.example") && page.text.contains(">doe<"), "{page:?}");
    let ended = say(&mut browser, &page, "", &[("decision", "not-me")]).await;
    assert!(ended.status == StatusCode::OK && ended.text.contains("No account was connected"), "{ended:?}");
    let late = say(&mut browser, &page, &ward.code, &[]).await;
    assert_eq!(late.status, StatusCode::FORBIDDEN, "what was dropped links nobody: {late:?}");
    // She begins again, and is asked who she is before she says it here.
    let code = house.code("anna").await;
    let sent = begin(&mut browser, &query(&app.id, &[])).await;
    let answer = visitor.sign_in(sent.header("location"), "a-17");
    let page = come_afresh(house, &mut browser, &mut visitor, &answer, "a-17").await;
    assert!(page.text.contains("a-17@ward.example") && !page.text.contains("doe"), "{page:?}");
    let answered = say(&mut browser, &page, &code, &[]).await;
    asked(&mut browser, &answered).await;
    let told = house.administer(json!({ "verb": "accounts" })).await;
    assert_eq!(told.body["accounts"][0]["signs_in_as"], "a-17");
    // Nobody else becomes her by a code, until an administrator has taken it back.
    let code = house.code("anna").await;
    let (mut browser, mut visitor) = (Browser::new(house), Visitor::new(&provider));
    let sent = begin(&mut browser, &query(&app.id, &[])).await;
    let answer = visitor.sign_in(sent.header("location"), "doe");
    let page = come_afresh(house, &mut browser, &mut visitor, &answer, "doe").await;
    let refused = say(&mut browser, &page, &code, &[]).await;
    assert!(refused.status == StatusCode::FORBIDDEN && refused.text.contains("connected"), "{refused:?}");
    let told = house.administer(json!({ "verb": "accounts" })).await;
    assert_eq!(told.body["accounts"][0]["signs_in_as"], "a-17");
    // However often the page comes back, it is as old as the sign-in.
    house.administer(json!({ "verb": "unlink-account", "name": "anna" })).await;
    house.site.clock.advance(14 * 60);
    let refused = say(&mut browser, &refused, "AAAA-AAAA-AAAA", &[]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    house.site.clock.advance(2 * 60);
    let late = say(&mut browser, &refused, &code, &[]).await;
    assert!(late.status == StatusCode::BAD_REQUEST && late.text.contains("too old"), "{late:?}");
}
