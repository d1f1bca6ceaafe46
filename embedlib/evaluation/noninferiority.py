"""Whether a student keeps enough of its teacher: a paired test with the margin as a share.

With s and t the per-query values of student and teacher and r the share to keep, the student is
proven if the lower end of the interval of mean(s - r t) lies above zero: non-inferiority with a
relative margin (Piaggio et al., CONSORT extension for noninferiority trials, JAMA 2012, tests one
side of a two-sided interval in the same way).
"""

from __future__ import annotations

from typing import NamedTuple

from embedlib.contracts import Doubles
from embedlib.errors import DataError
from embedlib.evaluation.significance import Interval, bootstrap_mean
from embedlib.evaluation.statistics import Resampling


class Kept(NamedTuple):
    """How much of its teacher a student keeps.

    ``share`` is what had to be kept, ``surplus`` mean(student - share · teacher) with its interval.
    """

    student: float
    teacher: float
    share: float
    surplus: Interval

    @property
    def kept(self) -> float:
        """Student / teacher; 1 where the teacher has nothing."""
        return self.student / self.teacher if self.teacher > 0 else 1.0

    @property
    def proven(self) -> bool:
        """Whether the whole interval of the surplus lies above zero."""
        return self.surplus.low > 0


def keeps(student: Doubles, teacher: Doubles, share: float, resampling: Resampling) -> Kept:
    """Test whether a student keeps ``share`` of its teacher.

    Args:
        student: Values by query, [q].
        teacher: Values of the same queries in the same order, [q].
        share: Share to keep, above 0 and at most 1.
        resampling: How the interval is drawn; an inferior student passes with probability (1 - level) / 2
            at most.

    Raises:
        DataError: Lengths differ, or the share is out of bounds.
    """
    if student.shape != teacher.shape or not 0 < share <= 1:
        raise DataError(
            "student and teacher cannot be compared",
            where="non-inferiority",
            expected="values of the same queries, a share above 0 and at most 1",
            found=f"{len(student)} and {len(teacher)} values, share {share:g}",
        )
    surplus = bootstrap_mean(student - share * teacher, resampling)
    return Kept(float(student.mean()), float(teacher.mean()), share, surplus)
