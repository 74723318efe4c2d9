//! A way to the broker that can be cut and mended: while it is cut its port refuses.

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub struct Switch {
    pub port: u16,
    to: u16,
    task: Option<JoinHandle<()>>,
}

impl Switch {
    pub async fn before(to: u16) -> Switch {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Switch { port, to, task: Some(tokio::spawn(forward(listener, to))) }
    }

    /// Ends all connections.
    pub async fn cut(&mut self) {
        let task = self.task.take().unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    pub async fn mend(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.task = Some(tokio::spawn(forward(listener, self.to)));
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn forward(listener: TcpListener, to: u16) {
    let mut connections = tokio::task::JoinSet::new(); // dropped with this task
    while let Ok((mut client, _)) = listener.accept().await {
        connections.spawn(async move {
            if let Ok(mut broker) = TcpStream::connect(("127.0.0.1", to)).await {
                let _ended = tokio::io::copy_bidirectional(&mut client, &mut broker).await;
            }
        });
    }
}
