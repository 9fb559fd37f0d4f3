"""The benchmark of a GCN's epoch: what it times are trainings of equal networks."""

import pytest
import torch

from benchmarks.graph import gcn_speed
from graphpde.data import load


def test_every_contender_learns_the_karate_club():
    pytest.importorskip("torch_geometric")
    calls = gcn_speed.contenders(load("karate"), 16)
    assert list(calls) == [gcn_speed.OURS, gcn_speed.OURS_DENSE, gcn_speed.EXAMPLE, gcn_speed.READY]
    for name, call in calls.items():
        torch.manual_seed(0)
        for _ in range(40):
            train, *_ = call()
        assert train == 1.0, name


def test_a_missing_folder_is_no_measurement(monkeypatch, tmp_path):
    pytest.importorskip("torch_geometric")
    monkeypatch.setattr(gcn_speed, "ROOT", tmp_path)
    found = gcn_speed.rows()[0].measure()
    assert "Cora" in found.reason
