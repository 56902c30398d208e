//! Of what happens before anybody can ask.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpSocket;

#[tokio::test]
async fn a_port_of_the_systems_choice_is_nobody_elses_before_it_is_listened_at() {
    for any in [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))] {
        let ours = super::bind(any).unwrap();
        let other = if any.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
        other.set_reuseaddr(true).unwrap();
        other.bind(ours.local_addr().unwrap()).unwrap_err();
        ours.listen(1).unwrap();
    }
}
