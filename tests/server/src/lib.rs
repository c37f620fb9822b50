//! A listener whose connections a test can cut at any byte, without a closing handshake. The servers in a test's own
//! process share it.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{extract::connect_info::Connected, serve::IncomingStream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

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

/// A listener whose connections can be cut.
#[derive(Debug)]
pub struct CuttableListener {
    listener: TcpListener,
    connections: Connections,
}

impl CuttableListener {
    /// Listens on a free port, and adds each connection to `connections`.
    ///
    /// # Errors
    /// No port is free.
    pub async fn bind(connections: Connections) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(("127.0.0.1", 0)).await?, connections })
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

/// A connection that can be cut.
#[derive(Debug)]
pub struct CuttableStream {
    stream: TcpStream,
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
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
