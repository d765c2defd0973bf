//! A service from its `.proto` to a call: `cargo run` in this folder. There is no `protoc` in it.

mod warehouse {
    grpc_threads::include_proto!("warehouse");
}

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use grpc_threads::{RequestIterator, ServicerContext, Status, ThreadPool};
use warehouse::{Amount, Delivery, Item, Prefix, Stock, StockServer, StockStub};

/// Names and numbers of pieces.
#[derive(Default)]
struct Shelf {
    items: Mutex<BTreeMap<String, u64>>,
}

impl Shelf {
    fn items(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, u64>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stock for Shelf {
    fn count(&self, item: Item, _: &ServicerContext) -> Result<Amount, Status> {
        match self.items().get(&item.name) {
            Some(&pieces) => Ok(Amount { pieces }),
            None => Err(Status::not_found(format!("there is no {:?}", item.name))),
        }
    }

    fn find(
        &self,
        prefix: Prefix,
        _: &ServicerContext,
    ) -> Result<impl Iterator<Item = Result<Item, Status>>, Status> {
        let found: Vec<_> =
            self.items().keys().filter(|name| name.starts_with(&prefix.text)).cloned().collect();
        Ok(found.into_iter().map(|name| Ok(Item { name })))
    }

    fn put(
        &self,
        deliveries: RequestIterator<Delivery>,
        _: &ServicerContext,
    ) -> Result<Amount, Status> {
        for delivery in deliveries {
            let Delivery { item, amount } = delivery?;
            let name = item.unwrap_or_default().name;
            *self.items().entry(name).or_default() += amount.unwrap_or_default().pieces;
        }
        Ok(Amount { pieces: self.items().values().sum() })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let server = grpc_threads::server(ThreadPool::new(4));
    server.add_service(StockServer::new(Shelf::default()))?;
    let port = server.add_insecure_port("127.0.0.1:0")?;
    server.start()?;

    let channel = grpc_threads::insecure_channel(&format!("127.0.0.1:{port}"))?;
    let stock = StockStub::new(&channel);
    let deliveries = [("bolt", 100), ("bracket", 12), ("nut", 100)].map(|(name, pieces)| {
        Delivery { item: Some(Item { name: name.into() }), amount: Some(Amount { pieces }) }
    });
    println!("{} pieces in all", stock.put.call(deliveries)?.pieces);
    for item in stock.find.call(&Prefix { text: "b".into() })? {
        let item = item?;
        let amount = stock.count.timeout(Duration::from_secs(5)).call(&item)?;
        println!("{} of {}", amount.pieces, item.name);
    }
    if let Err(status) = stock.count.call(&Item { name: "screw".into() }) {
        println!("{status}");
    }
    Ok(())
}
