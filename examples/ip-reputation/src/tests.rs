use spop_tokio::Request;

use super::*;

fn score_of(request: MessageRequest) -> Option<u32> {
    let answer = check_client_ip(State(Some(7)), request).unwrap();
    answer.map(|(var, score)| {
        assert_eq!(var, SCORE);
        score
    })
}

#[test]
fn an_address_has_the_same_score_whether_it_is_named_or_not() {
    let request = |name| Request::builder().message("m").arg(name, IpAddr::from([192, 0, 2, 1]));
    let score = score_of(request("ip").build_message());
    assert!(score.is_some() && score == score_of(request("").build_message()));
}

#[test]
fn a_client_without_an_address_has_no_score() {
    assert_eq!(score_of(Request::builder().message("m").arg("ip", None::<IpAddr>).build_message()), None);
}
