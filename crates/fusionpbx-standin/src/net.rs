//! Connections that can be cut from inside a request, and the certificate of a stock server.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use axum_server::accept::Accept;
use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::tables::hex;

#[derive(Debug, Default)]
struct Cut {
    cut: bool,
    reader: Option<Waker>,
}

/// The open connections by the client's address.
#[derive(Debug, Clone, Default)]
pub(super) struct Connections {
    open: Arc<Mutex<HashMap<SocketAddr, Arc<Mutex<Cut>>>>>,
}

impl Connections {
    /// Resets a client's connection: it sees no answer, not even an end.
    pub fn cut(&self, peer: SocketAddr) {
        let cut = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(&peer).cloned();
        if let Some(cut) = cut {
            let mut cut = cut.lock().unwrap_or_else(PoisonError::into_inner);
            cut.cut = true;
            if let Some(reader) = cut.reader.take() {
                reader.wake();
            }
        }
    }
}

impl<S> Accept<TcpStream, S> for Connections {
    type Stream = Connection;
    type Service = S;
    type Future = Ready<io::Result<(Connection, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        ready(stream.peer_addr().and_then(|peer| {
            stream.set_nodelay(true)?;
            let cut = Arc::new(Mutex::new(Cut::default()));
            self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, cut.clone());
            Ok((Connection { stream, peer, cut, connections: self.clone() }, service))
        }))
    }
}

/// A connection that ends when it is cut.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    cut: Arc<Mutex<Cut>>,
    connections: Connections,
}

impl Connection {
    fn check(&self, reader: Option<&Context<'_>>) -> io::Result<()> {
        let mut cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        if cut.cut {
            // Closing with a zero linger time sends a reset.
            let _ = self.stream.set_zero_linger();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if let Some(context) = reader {
            cut.reader = Some(context.waker().clone());
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.connections.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.peer);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(Some(cx))?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(None)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(None)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(None)?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A self-signed certificate with its key.
#[derive(Debug)]
pub(super) struct Identity {
    pub pem: String,
    /// `sha256:` and the hexadecimal digest of the certificate.
    pub fingerprint: String,
    config: Arc<ServerConfig>,
}

impl Identity {
    /// A new certificate for `127.0.0.1`, `::1` and `localhost`.
    pub fn generate() -> io::Result<Identity> {
        let names = ["127.0.0.1", "::1", "localhost"].map(str::to_owned);
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(io::Error::other)?
                .with_no_client_auth()
                .with_single_cert(vec![cert.der().clone()], key)
                .map_err(io::Error::other)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Identity {
            pem: cert.pem(),
            fingerprint: format!("sha256:{}", hex(&Sha256::digest(cert.der()))),
            config: Arc::new(config),
        })
    }

    pub fn rustls(&self) -> RustlsConfig {
        RustlsConfig::from_config(self.config.clone())
    }
}
