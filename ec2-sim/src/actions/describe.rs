//! DescribeInstances.

use super::context::{Answer, Context};
use super::filter::{self, Filter};
use super::item::Items;
use super::page;
use crate::error::ApiError;
use crate::instance::Instance;
use crate::world::Account;
use crate::xml::Xml;

pub fn describe(context: &mut Context<'_>) -> Answer {
    let request = context.request;
    let ids = request.list("InstanceId");
    let filters = filter::read(request)?;
    let most = page::most(request, 5..=1000)?;
    if most.is_some() && !ids.is_empty() {
        return Err(ApiError::combination(
            "The parameter instancesSet cannot be used with the parameter maxResults",
        ));
    }
    context.check_ids(&ids)?;
    context.end_if_dry_run()?;
    let start = page::start(request)?;
    let (key, is_realistic) = (context.key.clone(), context.world.settings.realistic);
    let (page, next) = page_of(context, &ids, &filters, start, most.unwrap_or(usize::MAX));
    let mut answer =
        vec![("reservationSet", Xml::Items(reservations(Items { key: &key, is_realistic }, &page)))];
    answer.extend(next.map(page::token));
    Ok(Xml::Node(answer))
}

/// Up to `most` instances from the position `start`, and the position of the next one. A position is one among all
/// instances, so that an instance that starts or stops to match a filter between two pages does not shift the others.
fn page_of<'c>(
    context: &'c mut Context<'_>,
    ids: &[String],
    filters: &[Filter],
    start: usize,
    most: usize,
) -> (Vec<&'c Instance>, Option<usize>) {
    let (now, hidden) = (context.now.instant, context.hidden);
    let account = context.account();
    let mut page = Vec::new();
    for position in candidates(account, ids, filters).into_iter().filter(|position| *position >= start) {
        let instance = &account.instances[position];
        let is_shown = instance.visible_from <= now
            && !hidden.has(&instance.id)
            && filters.iter().all(|filter| filter.matches(instance));
        if is_shown && page.len() == most {
            return (page, Some(position));
        }
        if is_shown {
            page.push(instance);
        }
    }
    (page, None)
}

/// The positions of the instances that can match, in order. If the call names ids, only those are candidates.
fn candidates(account: &Account, ids: &[String], filters: &[Filter]) -> Vec<usize> {
    let mut positions: Vec<usize> = if !ids.is_empty() {
        ids.iter().filter_map(|id| account.position(id)).collect()
    } else if let Some(ids) = filters.iter().find_map(Filter::ids) {
        ids.filter_map(|id| account.position(id)).collect()
    } else {
        return (0..account.instances.len()).collect();
    };
    positions.sort_unstable();
    positions.dedup();
    positions
}

/// Groups instances by reservation.
fn reservations(items: Items<'_>, instances: &[&Instance]) -> Vec<Xml> {
    let together = instances.chunk_by(|one, other| one.reservation == other.reservation);
    together.map(|instances| reservation(items, instances)).collect()
}

/// The instances of one launch.
pub fn reservation(items: Items<'_>, instances: &[&Instance]) -> Xml {
    let id = instances.first().map_or("", |instance| &instance.reservation);
    Xml::Node(vec![
        ("reservationId", Xml::text(id)),
        ("ownerId", Xml::text(&items.key.0)),
        ("groupSet", Xml::Items(Vec::new())),
        ("instancesSet", Xml::Items(instances.iter().map(|instance| items.item(instance)).collect())),
    ])
}
