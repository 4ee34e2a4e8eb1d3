"""From what was measured of an architecture to what Ray reserves for a trial: plain arithmetic, no device."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from cluster.session import NodeResources
from sweeps.placement import Measurement, Pace, Share, alone, cpu_share, fitting, gpu_share, is_worth_more, told

_GB = 10**9


def on_gpu(
    steps_per_second: dict[int, float], *, peak_gb: float = 1.9, total_gb: float = 24.0, num_cpus: float = 16.0
) -> Measurement:
    return Measurement(
        architecture="cnn",
        configuration_id="c" * 16,
        device="cuda",
        hardware="16 CPUs, 1 GPU",
        total_bytes=int(total_gb * _GB),
        peak_bytes=int(peak_gb * _GB),
        paces=tuple(
            Pace(cpus_each=num_cpus / at_once, at_once=at_once, steps_per_second=pace)
            for at_once, pace in steps_per_second.items()
        ),
    )


def on_cpu(paces: dict[int, tuple[int, float]], *, peak_gb: float = 0.6, total_gb: float = 16.0) -> Measurement:
    """Args: paces: CPUs of one → how many at once, and their steps a second together."""
    return Measurement(
        architecture="cnn",
        configuration_id="c" * 16,
        device="cpu",
        hardware="8 CPUs",
        total_bytes=int(total_gb * _GB),
        peak_bytes=int(peak_gb * _GB),
        paces=tuple(
            Pace(cpus_each=cpus, at_once=at_once, steps_per_second=pace) for cpus, (at_once, pace) in paces.items()
        ),
    )


class TestSharesOfAGPU:
    def test_as_many_share_as_make_all_of_them_faster(self) -> None:
        share = gpu_share(on_gpu({1: 100.0, 2: 190.0, 4: 310.0, 8: 325.0}), num_cpus=1.0)
        assert share == Share(num_cpus=1.0, num_gpus=0.25)

    def test_a_gain_of_less_than_a_tenth_is_not_worth_a_share(self) -> None:
        assert gpu_share(on_gpu({1: 100.0, 2: 109.0}), num_cpus=1.0).num_gpus == 1.0
        assert gpu_share(on_gpu({1: 100.0, 2: 111.0}), num_cpus=1.0).num_gpus == 0.5

    def test_no_more_share_than_fit_into_the_memory_however_fast_they_would_be(self) -> None:
        fast = {1: 100.0, 2: 200.0, 4: 400.0}
        assert gpu_share(on_gpu(fast, peak_gb=11.0), num_cpus=1.0).num_gpus == 1.0  # twice 11 and a reserve is above 24
        assert gpu_share(on_gpu(fast, peak_gb=10.0), num_cpus=1.0).num_gpus == 0.5
        assert gpu_share(on_gpu(fast, peak_gb=30.0), num_cpus=1.0).num_gpus == 1.0

    def test_three_thirds_fit_on_one(self) -> None:
        share = gpu_share(on_gpu({1: 100.0, 2: 200.0, 3: 300.0}), num_cpus=1.0)
        assert share.num_gpus == 0.3333

    def test_cpus_that_are_asked_for_limit_how_many_share(self) -> None:
        measured = on_gpu({1: 100.0, 2: 200.0, 4: 400.0}, num_cpus=8.0)
        assert gpu_share(measured, num_cpus=4.0) == Share(num_cpus=4.0, num_gpus=0.5)
        assert gpu_share(measured, num_cpus=16.0).num_gpus == 1.0

    def test_cpus_that_are_not_are_at_most_one_each_and_no_more_than_there_are(self) -> None:
        fast = {1: 100.0, 2: 200.0, 4: 400.0}
        assert gpu_share(on_gpu(fast, num_cpus=16.0), num_cpus="auto") == Share(num_cpus=1.0, num_gpus=0.25)
        assert gpu_share(on_gpu(fast, num_cpus=2.0), num_cpus="auto") == Share(num_cpus=0.5, num_gpus=0.25)

    @given(
        measured=st.lists(
            st.tuples(
                st.floats(0.1, 30.0),  # GB at its peak
                st.lists(st.floats(1.0, 1000.0), min_size=1, max_size=5),  # steps a second of 1, 2, 4 … at once
            ),
            min_size=1,
            max_size=6,
        ),
        order=st.randoms(use_true_random=False),
    )
    def test_whatever_ray_puts_together_on_one_gpu_fits_into_its_memory(
        self, measured: list[tuple[float, list[float]]], order: object
    ) -> None:
        """Of trials that fit alone; whatever mixture of architectures there is."""
        kinds = []
        for peak_gb, paces in measured:
            of_kind = on_gpu({2**index: pace for index, pace in enumerate(paces)}, peak_gb=peak_gb)
            if peak_gb <= 24:
                kinds.append((gpu_share(of_kind, num_cpus="auto").num_gpus, peak_gb))
        placed_gpus = placed_gb = 0.0
        for _ in range(40):
            if not kinds:
                break
            num_gpus, peak_gb = order.choice(kinds)  # type: ignore[attr-defined]
            if placed_gpus + num_gpus <= 1 + 1e-9:
                placed_gpus, placed_gb = placed_gpus + num_gpus, placed_gb + peak_gb
        assert placed_gb <= 24.0


class TestSharesOfCPUs:
    def test_that_number_of_cpus_is_taken_with_which_the_machine_takes_the_most_steps(self) -> None:
        share = cpu_share(on_cpu({1: (8, 200.0), 2: (4, 260.0), 4: (2, 180.0), 8: (1, 100.0)}), node_bytes=0)
        assert (share.num_cpus, share.num_gpus) == (2.0, 0.0)

    def test_of_two_that_are_as_good_fewer_trials_at_once_are_taken(self) -> None:
        assert cpu_share(on_cpu({1: (8, 200.0), 2: (4, 195.0), 4: (2, 150.0)}), node_bytes=0).num_cpus == 2.0

    def test_memory_is_reserved_so_that_no_more_are_placed_than_fit(self) -> None:
        share = cpu_share(on_cpu({1: (8, 200.0)}, peak_gb=4.0), node_bytes=16 * _GB)
        assert share.memory_bytes > 4 * _GB
        assert 16 * _GB // share.memory_bytes == fitting(total_bytes=16 * _GB, peak_bytes=4 * _GB) == 3

    def test_no_more_memory_is_asked_for_than_a_node_has_now(self) -> None:
        """Or Ray would wait for it without a word."""
        measured = on_cpu({1: (1, 2.0)}, peak_gb=15.9, total_gb=16.0)
        assert cpu_share(measured, node_bytes=15 * _GB).memory_bytes == 15 * _GB
        assert cpu_share(measured, node_bytes=0).memory_bytes == 0


class TestAlone:
    NODES = (NodeResources(num_cpus=4, num_gpus=1), NodeResources(num_cpus=8, num_gpus=0, memory_bytes=32 * _GB))

    def test_who_shared_a_gpu_gets_a_whole_one(self) -> None:
        assert alone(Share(num_cpus=1.0, num_gpus=0.25), self.NODES) == Share(num_cpus=1.0, num_gpus=1.0)

    def test_who_shared_a_nodes_memory_gets_all_of_it_and_the_same_cpus(self) -> None:
        share = Share(num_cpus=2.0, num_gpus=0.0, memory_bytes=_GB)
        assert alone(share, self.NODES) == Share(num_cpus=2.0, num_gpus=0.0, memory_bytes=32 * _GB)

    @pytest.mark.parametrize(
        "share",
        [
            Share(num_cpus=1.0, num_gpus=1.0),
            Share(num_cpus=1.0, num_gpus=2.0),
            Share(num_cpus=1.0, num_gpus=0.0),  # nothing is reserved by the others that it could have for itself
            Share(num_cpus=1.0, num_gpus=0.0, memory_bytes=32 * _GB),
        ],
    )
    def test_who_shared_nothing_gets_nothing_more(self, share: Share) -> None:
        assert alone(share, self.NODES) is None


class TestInWords:
    def test_what_was_measured_of_a_gpu_is_one_line(self) -> None:
        measured = on_gpu({1: 100.0, 2: 190.0, 4: 310.0})
        assert told(measured, gpu_share(measured, num_cpus=1.0)) == (
            "cnn: 0.25 GPU a trial (1.9 GB of 24.0, 3.1 times the steps of one)"
        )
        measured = on_gpu({1: 100.0, 2: 104.0})
        assert told(measured, gpu_share(measured, num_cpus=1.0)) == (
            "cnn: 1 GPU a trial (1.9 GB of 24.0; 2 at once take 1.0 times the steps of one)"
        )
        measured = on_gpu({1: 100.0}, peak_gb=20.0)
        assert told(measured, gpu_share(measured, num_cpus=1.0)) == "cnn: 1 GPU a trial (20.0 GB of 24.0)"

    def test_what_was_measured_of_cpus_is_one_line(self) -> None:
        measured = on_cpu({1: (8, 300.0), 8: (1, 100.0)})
        assert told(measured, cpu_share(measured, node_bytes=0)) == (
            "cnn: 1 CPU a trial (0.6 GB of 16.0; 8 at once take 3.0 times the steps of 1 with 8 CPUs)"
        )
        measured = on_cpu({1: (2, 100.0), 2: (1, 120.0)})
        assert told(measured, cpu_share(measured, node_bytes=0)) == (
            "cnn: 2 CPUs a trial (0.6 GB of 16.0; 1 at once takes 1.2 times the steps of 2 with 1 CPU)"
        )


@pytest.mark.parametrize(
    ("paces", "expected"), [({1: 100.0}, True), ({1: 100.0, 2: 150.0}, True), ({1: 100.0, 2: 150.0, 4: 160.0}, False)]
)
def test_measuring_ends_where_more_at_once_are_no_faster(paces: dict[int, float], expected: bool) -> None:
    assert is_worth_more(on_gpu(paces).paces) is expected
