//! What the inputs of CloudWatch's operations have in common.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::metrics::INSTANCE;

/// A dimension of a metric.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Dimension {
    pub name: String,
    pub value: String,
}

/// The dimensions of a metric by name.
pub fn dimensions(dimensions: Option<Vec<Dimension>>) -> BTreeMap<String, String> {
    dimensions.into_iter().flatten().map(|dimension| (dimension.name, dimension.value)).collect()
}

/// A timestamp in whole seconds since 1970.
pub fn seconds(timestamp: f64) -> i64 {
    // The conversion saturates.
    timestamp.floor() as i64
}

/// The ids in the dimension `InstanceId` of the metrics that an input names, in order.
pub fn instance_ids(input: &Value) -> Vec<String> {
    let dimensions = metrics(input).filter_map(|metric| metric["Dimensions"].as_array()).flatten();
    let ids = dimensions.filter(|dimension| dimension["Name"] == INSTANCE);
    ids.filter_map(|dimension| dimension["Value"].as_str()).map(str::to_owned).collect()
}

/// The parameters of a call, in its record and for faults: the members of the input that are text or numbers, the
/// number of items of those that are lists, and what all metrics or queries of the input have in common.
pub fn parameters(input: &Value) -> BTreeMap<String, String> {
    let members = input.as_object().into_iter().flatten();
    let mut parameters: BTreeMap<String, String> =
        members.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect();
    for name in ["Namespace", "MetricName"] {
        let common = common(metrics(input).map(|metric| &metric[name]));
        parameters.extend(common.map(|value| (name.to_owned(), value)));
    }
    for name in ["Period", "Stat"] {
        let common = common(queries(input).map(|query| &query["MetricStat"][name]));
        parameters.extend(common.map(|value| (name.to_owned(), value)));
    }
    parameters
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) => Some(items.len().to_string()),
        _ => None,
    }
}

fn queries(input: &Value) -> impl Iterator<Item = &Value> {
    input["MetricDataQueries"].as_array().into_iter().flatten()
}

/// The metrics of queries and of data.
fn metrics(input: &Value) -> impl Iterator<Item = &Value> {
    let data = input["MetricData"].as_array().into_iter().flatten();
    queries(input).map(|query| &query["MetricStat"]["Metric"]).chain(data)
}

/// The value, if there is one and all are equal.
fn common<'v>(mut values: impl Iterator<Item = &'v Value>) -> Option<String> {
    let first = values.next()?;
    values.all(|value| value == first).then(|| text(first)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn query(id: &str, name: &str) -> Value {
        let metric = json!({
            "Namespace": "AWS/EC2", "MetricName": name, "Dimensions": [{"Name": INSTANCE, "Value": id}],
        });
        json!({"Id": "a", "MetricStat": {"Metric": metric, "Period": 86_400, "Stat": "Sum"}})
    }

    #[test]
    fn parameters_count_lists_and_have_what_is_common() {
        let mut input = json!({"MetricDataQueries": [query("i-1", "A"), query("i-2", "A")], "StartTime": 5, "NextToken": "t"});
        let expect = |rows: &[(&str, &str)]| -> BTreeMap<String, String> {
            rows.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let mut rows = vec![
            ("MetricDataQueries", "2"),
            ("StartTime", "5"),
            ("NextToken", "t"),
            ("Namespace", "AWS/EC2"),
            ("Period", "86400"),
            ("Stat", "Sum"),
        ];
        assert_eq!(parameters(&input), expect(&[&rows[..], &[("MetricName", "A")]].concat()));
        assert_eq!(instance_ids(&input), ["i-1", "i-2"]);
        input["MetricDataQueries"][1] = query("i-3", "B");
        assert_eq!(parameters(&input), expect(&rows));
        input["MetricDataQueries"] = json!([]);
        rows.drain(3..);
        rows[0].1 = "0";
        assert_eq!(parameters(&input), expect(&rows));
        assert_eq!(parameters(&json!([1])), BTreeMap::new());
    }
}
