"""get_tenant: id, name and zone of a business, by its public name."""

from __future__ import annotations

import pytest

from tests.api import ANON, SERVICE, Answer, Caller
from tests.api.asking import ask
from tests.booking.booked import ADA, admin_of, assert_refused
from tests.salon import Salon


@pytest.fixture(autouse=True)
def slug(salon: Salon) -> None:
    salon.db.execute(
        "insert into booking.tenant_slugs (slug, tenant_id) values ('mitte', %s)", (salon.tenant,)
    )


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("caller", [ANON, ADA, SERVICE], ids=lambda caller: caller.role)
def test_it_tells_id_name_and_zone_and_nothing_else(
    salon: Salon, caller: Caller, method: str
) -> None:
    answer = ask(salon, "get_tenant", caller, method=method, slug="mitte")
    assert (answer.status, answer.body) == (
        200,
        {
            "success": True,
            "id": str(salon.tenant),
            "name": "Salon",
            "timezone": "Europe/Berlin",
        },
    )


@pytest.mark.parametrize("slug", ["Mitte", "mitte ", "mitt", "mitte%", "m_tte", "'"])
def test_the_name_is_that_name_and_no_pattern(salon: Salon, slug: str) -> None:
    assert_refused(ask(salon, "get_tenant", slug=slug), "not_found", 404)


def test_an_inactive_tenant_looks_like_none_even_to_its_admin(salon: Salon) -> None:
    salon.db.execute("update booking.tenants set is_active = false")
    for caller in (ANON, admin_of(salon), SERVICE):
        inactive = ask(salon, "get_tenant", caller, slug="mitte")
        assert_refused(inactive, "not_found", 404)
        assert inactive == ask(salon, "get_tenant", caller, slug="nobody")


def test_two_names_may_lead_to_one_tenant(salon: Salon) -> None:
    def told(slug: str) -> Answer:
        return ask(salon, "get_tenant", slug=slug)

    salon.db.execute("insert into booking.tenant_slugs values ('centre', %s)", (salon.tenant,))
    assert told("centre") == told("mitte")
    salon.db.execute("delete from booking.tenant_slugs where slug = 'mitte'")
    assert_refused(told("mitte"), "not_found", 404)
