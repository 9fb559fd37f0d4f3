"""Formulas mean what mathematics says, differentiate in every argument, and refuse everything else."""

from __future__ import annotations

import contextlib
import math
import pickle
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import grad, jvp, vmap

from graphpde.errors import FormulaError, ShapeError
from graphpde.formula import FUNCTIONS, MAX_DEPTH, MAX_PARENTHESES, Formula

X, Y, T = 0.3, -0.7, 1.25
POINT = torch.tensor([[X, Y]], dtype=torch.float64)


VALUES = [
    ("1.5", 1.5),
    ("-2", -2.0),
    ("x + 2*y - t/4", X + 2 * Y - T / 4),
    ("-x**2", -(X**2)),
    ("2**-x", 2**-X),
    ("2**3**2", 512.0),
    ("y % 1", Y % 1),
    ("5 % 3", 2.0),
    ("pi*e", math.pi * math.e),
    ("sin(x) + cos(y)*tan(t)", math.sin(X) + math.cos(Y) * math.tan(T)),
    ("asin(x) + acos(y) + atan(t)", math.asin(X) + math.acos(Y) + math.atan(T)),
    ("sinh(x) + cosh(y) + tanh(t)", math.sinh(X) + math.cosh(Y) + math.tanh(T)),
    ("exp(x) + log(t) + log10(t) + sqrt(t)", math.exp(X) + math.log(T) + math.log10(T) + math.sqrt(T)),
    ("atan2(y, x) + hypot(3, 4)", math.atan2(Y, X) + 5),
    ("abs(y) + sign(y) + floor(y) + ceil(y)", 0.7 - 1 - 1 + 0),
    ("min(x, y, 0) + 10*max(x, y, 0)", Y + 10 * X),
    ("clip(t, 0, 1) + clip(y, -0.5, x)", 0.5),
    ("where(x < y, 1, 2)", 2.0),
    ("1 if x > y else 2", 1.0),
    ("0.2 < x < 0.4", 1.0),
    ("0.2 < x < 0.25", 0.0),
    ("x <= 0.3 and y >= 0", 0.0),
    ("x <= 0.3 or y >= 0", 1.0),
    ("not (x == y)", 1.0),
    ("x != x or x < x or x > x", 0.0),
    ("x == x and x <= x and x >= x", 1.0),
    ("(x > 0)/3", 1 / 3),
    ("-(x > 0)", -1.0),
    ("(x > 0)*3.5", 3.5),
    ("3 and 0.5", 1.0),
    ("heaviside(y) + heaviside(0) + heaviside(0, 3)", 3.5),
    ("step(0) + step(y)", 1.0),
    ("(1 +\n\t x)", 1 + X),
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_values(text: str, value: float) -> None:
    got = Formula(text)(POINT, T)
    assert got.shape == (1,) and got.dtype == torch.float64
    assert got.item() == pytest.approx(value, rel=1e-15, abs=1e-15)


def test_every_function_is_tested() -> None:
    texts = " ".join(text for text, _ in VALUES)
    assert [name for name in FUNCTIONS if f"{name}(" not in texts] == []


def _expressions() -> st.SearchStrategy[str]:
    leaves = st.sampled_from(["x", "y", "t", "2", "0.5", "pi"])

    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        binary = st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})")
        return (
            binary | inner.map(lambda p: f"sin({p})") | st.tuples(inner, inner).map(lambda p: f"hypot({p[0]}, {p[1]})")
        )

    return st.recursive(leaves, grow, max_leaves=12)


@settings(max_examples=80, deadline=None)
@given(_expressions())
def test_random_expressions_equal_python(text: str) -> None:
    names = {"x": X, "y": Y, "t": T, "pi": math.pi, "sin": math.sin, "hypot": math.hypot}
    try:
        expected = eval(text, {"__builtins__": {}}, names)
    except ZeroDivisionError:
        return
    try:
        got = Formula(text)(POINT, T).item()
    except FormulaError as error:  # a constant part such as 1/(2-2) is refused before it meets a point
        assert "finite number" in str(error)
        return
    assert got == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_facts_about_a_formula() -> None:
    f = Formula("  sin(pi*y) *\n t ")
    assert (f.text, f.used, f.uses_time, f.constant) == ("sin(pi*y) * t", ("y", "t"), True, False)
    assert Formula("sin(pi/6)").constant and not Formula("x").uses_time
    assert Formula(3).text == "3" and Formula(0.25)(POINT).item() == 0.25
    assert Formula("x") == Formula(" x ") != Formula("x", names=("x",))
    assert pickle.loads(pickle.dumps(f))(POINT, T).item() == f(POINT, T).item()


def test_shapes_dtype_and_batches() -> None:
    x = torch.rand(7, 3, dtype=torch.float64)
    assert torch.equal(Formula("z")(x), x[:, 2])
    for text in ("2", "x > 0.5", "where(x > 0.5, 1, 0)*2", "t", "x*t + pi"):
        assert Formula(text)(x.float(), torch.tensor(0.5, dtype=torch.float64)).dtype == torch.float32
    times = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    assert torch.equal(Formula("x*t")(x, times), torch.stack([0 * x[:, 0], x[:, 0]]))
    assert Formula("x")(x, times).shape == (2, 7)
    assert torch.equal(Formula("x")(x.expand(2, 7, 3)), x[:, 0].expand(2, 7))
    assert Formula("x + 1")(x[:0]).shape == (0,)
    Formula("4")(x).mul_(2)  # a value of its own, not an expanded view


def test_parameters() -> None:
    f = Formula("a*x + exp(-k*t)", names=("x", "t", "k", "a"))
    a = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    value = f(POINT, 0.5, k=3, a=a)
    assert value.item() == pytest.approx(2 * X + math.exp(-1.5))
    value.sum().backward()
    assert a.grad is not None and a.grad.item() == pytest.approx(X)
    field = torch.linspace(0, 1, 5, dtype=torch.float64)
    assert torch.equal(Formula("u*(1 - u)", names=("u",))(POINT.expand(5, 2), u=field), field * (1 - field))
    assert Formula("1/k", names=("k",))(POINT, k=0).item() == math.inf
    with pytest.raises(FormulaError, match=r"needs k, but got no value for it; give k=\.\.\."):
        f(POINT, 0.5, a=1.0)
    with pytest.raises(FormulaError, match="unknown parameter of formula .* 'kk'; known: a, k; did you mean 'k'"):
        f(POINT, 0.5, a=1.0, kk=1.0)
    for taken in ("sin", "pi", "2x", "a b"):
        with pytest.raises(FormulaError, match=f"'{taken}' cannot name a quantity"):
            Formula("x", names=("x", taken))


@pytest.mark.grad
def test_time_derivative_by_forward_mode() -> None:
    x = torch.tensor([[-1.0, 0.2], [0.0, 0.5], [2.0, 3.0]], dtype=torch.float64)
    t = torch.tensor(0.4, dtype=torch.float64)

    def rate(text: str) -> torch.Tensor:
        return jvp(lambda s: Formula(text)(x, s), (t,), (torch.ones_like(t),))[1]

    a, b = x.unbind(1)
    assert torch.allclose(rate("x*sin(2*t)*exp(-y)"), 2 * a * torch.cos(2 * t) * torch.exp(-b), rtol=1e-14)
    assert torch.allclose(rate("(x + t)**3"), 3 * (a + t) ** 2, rtol=1e-14)  # negative base
    assert torch.equal(rate("x + y"), torch.zeros_like(a))
    assert torch.equal(rate("7"), torch.zeros_like(a))
    assert torch.equal(
        rate("where(x > 0, sqrt(x)*t, 0)"), torch.where(a > 0, a, 0).sqrt()
    )  # no nan from the other branch
    assert torch.equal(rate("t if y > 0.3 else -t"), torch.where(b > 0.3, 1.0, -1.0).double())


@pytest.mark.grad
@pytest.mark.parametrize(
    "text",
    [
        "sin(x)*cos(y) + tan(t*x) - x**3*t**2 + 2**x + x**y",
        "asin(x/3) + acos(y/3) + atan(t) + atan2(x, t) + hypot(x, y) + 1/(x + t)",
        "sinh(x) + cosh(y) + tanh(t) + exp(-x*t) + log(x) + log10(t) + sqrt(y)",
        "abs(x - 2)*t + min(x, y, t) + max(x*t, y) + clip(x, 0.1, t) + x % 0.7 + sign(x)*y",
        "(x > 0.2 and t < 3)*x*t + where(y > 0.1, y*t, x) + (x if not y > 9 else t) + heaviside(x)*t + step(y)*x",
    ],
)
def test_gradients(text: str) -> None:
    f = Formula(text)
    x = torch.tensor([[0.83, 0.41], [1.31, 0.57]], dtype=torch.float64, requires_grad=True)
    t = torch.tensor(0.93, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(f, (x, t), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(f, (x, t))
    times = torch.tensor([0.5, 0.93], dtype=torch.float64)
    by_vmap = vmap(grad(lambda s: f(x.detach(), s).sum()))(times)
    one_by_one = torch.stack([grad(lambda s: f(x.detach(), s).sum())(s) for s in times])
    assert torch.allclose(by_vmap, one_by_one, rtol=1e-13)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("__import__('os').system('true')", "has '__import__"),
        ("__import__('os')", "position 1: unknown function '__import__'"),
        ("().__class__", r"has '\(\).__class__' at position 1"),
        ("x.__class__", "has 'x.__class__' at position 1"),
        (
            "1 + x[0]",
            r"has 'x\[0\]' at position 5, expected numbers, operators, the names x, y, z, t, pi, e and the functions",
        ),
        ("lambda: 1", "has 'lambda: 1'"),
        ("[x for x in y]", "has .* at position 1"),
        ("(x for x in y)", "has .* at position 1"),
        ("{x: y}", "has '{x: y}'"),
        ("(x, y)", "has .* at position 1"),
        ("f'{x}'", "at position 1"),
        ("(x := 1)", "has 'x := 1' at position 2"),
        ("await x", "has 'await x'"),
        ("yield", "cannot be read"),
        ("import os", "cannot be read"),
        ("x; y", "cannot be read .* at position 2"),
        ("sin(*x)", r"has '\*x' at position 5"),
        ("sin(x=1)", "calls sin with a keyword at position 1, expected 1 argument"),
        ("sin(x, y=1)", "calls sin with a keyword"),
        ("sin(x, y)", "calls sin with 2 at position 1, expected 1 argument"),
        ("where(x, 1)", "calls where with 2 .* expected 3 arguments"),
        ("heaviside(1, 2, 3)", "expected 1 or 2 arguments"),
        ("max(x)", "expected 2 or more arguments"),
        ("1 + sin", r"has 'sin' alone at position 5, expected sin\(\.\.\.\) with 1 argument"),
        ("sine(x)", "unknown function 'sine'; known: abs, .*; did you mean 'sin'"),
        ("2 + pii", "position 5: unknown name 'pii'; known: e, pi, t, x, y, z; did you mean 'pi'"),
        ("foo + bar", "unknown name 'foo'"),
        ("nan", "unknown name 'nan'"),
        ("'1'", "has ''1'' at position 1, expected a finite real number"),
        ("True", "has 'True'"),
        ("1j", "has '1j'"),
        ("1e999", "has '1e999'"),
        ("9" * 400, "expected a finite real number"),
        ("x^2", r"has the operator \^ \(a power is written \*\*\)"),
        ("x//2", "has the operator //"),
        ("x is y", "has the operator Is"),
        ("~x", "has the operator ~"),
        ("2x", "cannot be read"),
        ("1if x else 2", "cannot be read"),
        ("x if y", "cannot be read"),
        ("x = 1", "cannot be read"),
        ("", "is empty"),
        (" \n", "is empty"),
        ("x # y", "has the character '#' at position 3"),
        ("x\x00", "has the character"),
        ("\N{GREEK SMALL LETTER KAPPA}*x", "has the character .* at position 1, expected ASCII"),
        ("9**9**9", r"has the exponent 3\.87\S* at position 4, expected one of size at most 100"),
        ("x**-(100 + 1)", "has the exponent -101"),
        ("1/(2 - 2)", r"has '1/\(2 - 2\)' = inf at position 1, expected a finite number"),
        ("x + sqrt(-1)", "has 'sqrt.-1.' = nan at position 5"),
        (True, "text or a number, got bool"),
        (None, "text or a number, got NoneType"),
        (math.inf, "unknown name 'inf'"),
    ],
)
def test_refused(text: str, says: str) -> None:
    with pytest.raises(FormulaError, match=says) as caught:
        Formula(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x" * 10_000_000, "has 10000000 characters, expected at most 1000"),
        ("(" * 20_000 + "x" + ")" * 20_000, "has 40001 characters"),
        ("(" * 200 + "x" + ")" * 200, f"opens parenthesis {MAX_PARENTHESES + 1} at position 51"),
        ("sin(" * 190 + "x" + ")" * 190, "opens parenthesis"),
        ("[" * 400 + "]" * 400, "cannot be read|has '"),
        ("-" * 900 + "x", f"nested {MAX_DEPTH + 1} deep at position"),
        ("not " * 240 + "x", "deep"),
        ("+".join("x" * 400), "deep"),
        ("**".join("x" * 300), "deep"),
        ("x if x else " * 80 + "x", None),
        ("x if x else " * 83, "cannot be read"),
        ("9" * 5000, "characters"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_hostile_size_is_refused_at_once(text: str, says: str | None) -> None:
    start = time.perf_counter()
    if says is None:
        assert Formula(text)(POINT).item() == X
    else:
        with pytest.raises(FormulaError, match=says):
            Formula(text)
    assert time.perf_counter() - start < 1.0


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="xyt0159.+-*/%<>=!()[]{},:'\"\\ #@&|~^_abdefinorsw\n", max_size=40))
def test_random_text_never_raises_anything_else(text: str) -> None:
    with contextlib.suppress(FormulaError):
        Formula(text)(POINT, T)


def test_points_must_have_what_is_mentioned() -> None:
    with pytest.raises(FormulaError, match="needs z, but got no value for it; the points have 2 coordinates"):
        Formula("x + z")(POINT)
    with pytest.raises(ShapeError, match="points of a formula"):
        Formula("x")(POINT[0])
    with pytest.raises(FormulaError, match="unknown name 't'; known: e, pi, x, y"):
        Formula("x*t", names=("x", "y"))
