//! A listener whose connections a test can cut at any byte, without a closing handshake. The servers in a test's own
//! process share it. It can require TLS, and shows the certificate of a client.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{extract::connect_info::Connected, serve::IncomingStream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// How long a client may take for the handshake of TLS.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// The open connections of a server, which can be cut together.
#[derive(Debug, Clone, Default)]
pub struct Connections(Arc<Mutex<Vec<CancellationToken>>>);

impl Connections {
    /// Cuts every connection without a closing handshake.
    pub fn cut(&self) {
        for cut in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            cut.cancel();
        }
    }
}

/// Cuts the connection of a request.
#[derive(Debug, Clone)]
pub struct ConnectionCut(pub CancellationToken);

/// Who sent a request.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Cuts the connection.
    pub cut: CancellationToken,
    /// The certificate of the client, DER.
    pub certificate: Option<Vec<u8>>,
}

/// A listener whose connections can be cut.
pub struct CuttableListener {
    listener: TcpListener,
    connections: Connections,
    tls: Option<TlsAcceptor>,
}

impl CuttableListener {
    /// Listens on a free port, and adds each connection to `connections`.
    ///
    /// # Errors
    /// No port is free.
    pub async fn bind(connections: Connections) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(("127.0.0.1", 0)).await?, connections, tls: None })
    }

    /// Requires TLS from now on.
    #[must_use]
    pub fn tls(mut self, config: Arc<ServerConfig>) -> Self {
        self.tls = Some(config.into());
        self
    }

    /// Returns the address on which the server listens.
    ///
    /// # Errors
    /// The socket has no address.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl axum::serve::Listener for CuttableListener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((stream, address)) = self.listener.accept().await {
                let cut = CancellationToken::new();
                self.connections.0.lock().unwrap_or_else(PoisonError::into_inner).push(cut.clone());
                // Send small frames without delay.
                let _ = stream.set_nodelay(true);
                let stream = match &self.tls {
                    None => Transport::Plain(stream),
                    Some(tls) => match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                        Ok(Ok(stream)) => Transport::Tls(Box::new(stream)),
                        // The client sees the reason in its handshake.
                        _ => continue,
                    },
                };
                return (CuttableStream { stream, is_cut: Box::pin(cut.clone().cancelled_owned()), cut }, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.address()
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for ConnectionCut {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        Self(stream.io().cut.clone())
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        let stream = stream.io();
        let certificate = match &stream.stream {
            Transport::Plain(_) => None,
            Transport::Tls(tls) => tls.get_ref().1.peer_certificates().and_then(<[_]>::first).map(|der| der.to_vec()),
        };
        Self { cut: stream.cut.clone(), certificate }
    }
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection that can be cut.
#[derive(Debug)]
pub struct CuttableStream {
    stream: Transport,
    cut: CancellationToken,
    is_cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl CuttableStream {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match Future::poll(self.is_cut.as_mut(), context) {
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::ConnectionReset, "cut")),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Transport::Tls(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_write(context, from),
            Transport::Tls(stream) => Pin::new(stream).poll_write(context, from),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(context),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// Formats a time in seconds since 1970 as the header `Date`.
pub fn http_date(seconds: i64) -> String {
    let (days, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let weekday =
        ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][usize::try_from(days.rem_euclid(7)).unwrap_or_default()];
    // The days of a year that begins in March are in the same place in each year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let months = ["Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"];
    let month = months[usize::try_from(month_index).unwrap_or_default()];
    let year = year_of_era + era * 400 + i64::from(month_index >= 10);
    format!("{weekday}, {day:02} {month} {year} {:02}:{:02}:{:02} GMT", time / 3600, time / 60 % 60, time % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_the_form_of_http() {
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(1_709_164_800), "Thu, 29 Feb 2024 00:00:00 GMT");
    }
}
