# SPDX-License-Identifier: MIT
"""Tests of the judgement: what it must refuse, and what it must let pass."""

import gauge

TEXT = """kernel 6.12.1-test
clock 1000 1000
seqpacket 64 16000
symphony 64 10000
""" + "".join(f"{name} {count} 8000\n" for name in gauge.FLAT for count in gauge.COUNTS)


def refused(now, baseline):
    """The claims of these measurements that are refused, without the absolute targets."""
    targets, gauge.TARGETS = gauge.TARGETS, []
    try:
        return [claim for good, claim, _ in
                gauge.judge(gauge.Figures(now), gauge.Figures(baseline)) if good is False]
    finally:
        gauge.TARGETS = targets


def beyond_target(figure):
    text = TEXT.replace("64 10000", f"64 {figure}")
    return any(good is False and claim.startswith("symphony 64: at most") for good, claim, _ in
               gauge.judge(gauge.Figures(text), gauge.Figures(text)))


def verdicts():
    """As of gauge.judge()."""
    dearer = TEXT.replace("64 10000", "64 10400")
    newer = TEXT.replace("6.12.1", "6.12.2")
    other = TEXT.replace("6.12.1", "7.3.1")
    return [(bool(good), f"the gauge {claim}", "") for good, claim in [
        (not refused(TEXT, TEXT), "accepts the baseline itself"),
        (not refused(TEXT.replace("64 10000", "64 10290"), TEXT), "accepts 2.9 % more"),
        (len(refused(dearer, TEXT)) == 2, "refuses a ratio and a figure that are 4 % higher"),
        (not refused(newer.replace("16000", "17600").replace("64 10000", "64 11000"), TEXT),
         "accepts a point release that is dearer for all"),
        (len(refused(newer.replace("64 10000", "64 10400"), TEXT)) == 1,
         "refuses a ratio that is 4 % higher on a point release"),
        (not refused(other.replace("64 10000", "64 10400"), TEXT), "does not compare other kernels"),
        (refused(TEXT.replace("symphony 64 10000\n", ""), TEXT), "misses a figure"),
        (refused(TEXT, TEXT.replace("symphony 64 10000\n", "")), "misses a baseline"),
        (not refused(TEXT.replace("spread 100 8000", "spread 100 8390"), TEXT),
         "accepts a cost that grows by 4.9 % with the number of services"),
        (len(refused(other.replace("spread 10000 8000", "spread 10000 8410"), TEXT)) == 1,
         "refuses one that grows by 5.1 %, on any kernel"),
        (refused(TEXT.replace("outstanding 100 8000\n", ""), TEXT), "misses a count"),
        (beyond_target("11001") and not beyond_target("11000"), "refuses what is beyond its target"),
    ]]
