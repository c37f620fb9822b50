//! Finds import cycles of files.

use std::collections::{BTreeMap, BTreeSet};

/// Returns the nodes of the largest strongly connected component, sorted. Empty if the graph has no cycle of two or
/// more nodes.
pub(crate) fn largest(edges: &BTreeMap<usize, BTreeSet<usize>>) -> Vec<usize> {
    let reached = edges.keys().map(|node| (*node, reachable(edges, *node))).collect::<BTreeMap<_, _>>();
    let mut largest = Vec::new();
    for (node, from_node) in &reached {
        let returns = |other: &&usize| reached.get(other).is_some_and(|from_other| from_other.contains(node));
        let component = from_node.iter().filter(returns).copied().collect::<Vec<_>>();
        if component.len() > largest.len().max(1) {
            largest = component;
        }
    }
    largest
}

/// Returns the nodes that can be reached from `start` over at least one edge.
fn reachable(edges: &BTreeMap<usize, BTreeSet<usize>>, start: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(node) = open.pop() {
        for next in edges.get(&node).into_iter().flatten() {
            if reached.insert(*next) {
                open.push(*next);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(usize, usize)]) -> BTreeMap<usize, BTreeSet<usize>> {
        let mut graph = BTreeMap::<_, BTreeSet<_>>::new();
        for (from, to) in edges {
            graph.entry(*from).or_default().insert(*to);
        }
        graph
    }

    #[test]
    fn the_largest_of_two_cycles_is_returned() {
        assert_eq!(largest(&graph(&[(1, 2), (2, 1), (2, 3), (3, 4), (4, 5), (5, 3)])), [3, 4, 5]);
    }

    #[test]
    fn a_graph_without_a_cycle_has_none() {
        assert_eq!(largest(&graph(&[(1, 2), (2, 3), (1, 3)])), Vec::<usize>::new());
    }
}
