"""The pages of users and of one's own account: changed by those who may, and secrets told once."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fakes import hostile
from fakes.browser import signed_in
from fakes.census import Census
from fakes.markup import check_accessible, check_inert
from sqlalchemy import insert, select

from keycensus_collector.access import tokens, users
from keycensus_collector.access.permissions import MEANING, ROLES, Permission
from keycensus_collector.store import schema
from keycensus_collector.store.tables.oidc import oidc_account

OLD, NEW = "correct horse battery", "another horse battery "


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = Census.create(tmp_path_factory.mktemp("census"))
    yield census
    census.store.close()


def actions(census: Census, actor: str) -> list[str]:
    rows = census.rows(select(schema.audit.c.actor, schema.audit.c.action))
    return [row.action for row in rows if row.actor == actor]


async def test_a_user_is_added_changed_signed_out_and_disabled(census: Census) -> None:
    async with signed_in(census, "adm", "admin") as browser:
        page = await browser.get("/users")
        page = await browser.send(page, "/users", 400, name="No Name")
        assert "is no user name" in page.words
        page = await browser.send(page, "/users", name="bea", role="viewer")
        assert "The user is added." in page.words
        async with signed_in(census, "bea") as hers:
            await hers.get("/account")
            page = await browser.send(page, "/users/bea/sign-out")
            assert (await hers.client.get("/account")).status_code == 303
        page = await browser.send(page, "/users/bea", role="owner", sees="teams")
        assert page.form("/users/bea").fields["role"] == ["owner"]
        page = await browser.send(page, "/users/bea", disabled="yes")
        assert "disabled" in page.words
        assert page.form("/users/bea").fields["disabled"] == ["yes"]
        page = await browser.send(page, "/users/bea", disabled=[])
        assert "disabled" not in page.form("/users/bea").fields
        page = await browser.get("/users/adm")
        page = await browser.send(page, "/users/adm", 409, role="viewer")
        assert "no admin would be left" in page.words
        await browser.get("/users/nobody", 404)
    done = [action for action in actions(census, "user:adm") if not action.endswith(".read")]
    assert done[1:] == ["user.add", "session.end", *["user.change"] * 3]
    changed = census.rows(
        select(schema.audit.c.detail).where(schema.audit.c.action == "user.change")
    )
    assert [row.detail for row in changed] == [
        '{"role": "owner", "sees": "teams"}',
        '{"disabled": true}',
        '{"disabled": false}',
    ]
    assert "users.read" in actions(census, "user:adm")


async def test_an_admin_revokes_somebodys_token(census: Census) -> None:
    now_ms = census.clock.now_ms()
    async with signed_in(census, "adm", "admin") as browser:
        with census.store.write() as connection:
            users.add_user(connection, name="tok", role="viewer", now_ms=now_ms, actor="operator")
            made = tokens.create_api_token(
                connection, user_name="tok", name="ci", now_ms=now_ms, actor="operator"
            )
        page = await browser.get("/users/tok")
        page = await browser.send(page, f"/users/tok/tokens/{made.token_id}/revoke")
        assert "The token is revoked." in page.words
        form = {"csrf": page.form("/sign-out").fields["csrf"][0]}
        response = await browser.client.post("/users/tok/tokens/none/revoke", data=form)
        assert response.status_code == 404


async def test_what_a_role_may_is_told_of_every_permission(census: Census) -> None:
    assert set(MEANING) == set(Permission)
    async with signed_in(census, "adm", "admin") as browser:
        page = await browser.get("/users")
    rows = re.findall(r'<code class="quiet">([a-z.]+)</code></th>(.*?)</tr>', page.text, re.DOTALL)
    told = {name: re.findall(r">(yes|no)<", cells) for name, cells in rows}
    assert told == {
        str(permission): ["yes" if permission in granted else "no" for granted in ROLES.values()]
        for permission in Permission
    }


async def test_a_password_is_changed_by_who_knows_it_and_other_sessions_end(census: Census) -> None:
    now_ms = census.clock.now_ms()
    with census.store.write() as connection:
        users.add_user(connection, name="pia", role="viewer", now_ms=now_ms, actor="operator")
        hashed = users.hash_of(OLD)
        users.set_password(
            connection, name="pia", password_hash=hashed, now_ms=now_ms, actor="operator"
        )
    async with signed_in(census, "pia") as browser, signed_in(census, "pia") as other:
        page = await browser.get("/account")
        action = "/account/password"
        page = await browser.send(page, action, 401, old="wrong", new=NEW, repeated=NEW)
        assert "the old password is wrong" in page.words
        page = await browser.send(page, action, 400, old=OLD, new=NEW, repeated="other")
        assert "typed in two ways" in page.words
        page = await browser.send(page, action, 400, old=OLD, new="short", repeated="short")
        assert "at least 12" in page.words
        assert OLD not in page.text
        page = await browser.send(page, action, old=OLD, new=NEW, repeated=NEW)
        assert "The password is changed." in page.words
        assert (await other.client.get("/account")).status_code == 303
    stored = census.row(select(schema.user.c.password_hash).where(schema.user.c.name == "pia"))[0]
    assert users.password_matches(stored, NEW)


async def test_an_admin_sets_anothers_password_and_ends_their_sessions(census: Census) -> None:
    async with (
        signed_in(census, "adm", "admin") as browser,
        signed_in(census, "ida", "viewer") as hers,
    ):
        page = await browser.get("/users/ida")
        check_accessible(page)
        action = "/users/ida/password"
        page = await browser.send(page, action, 400, new=NEW, repeated="other")
        assert "typed in two ways" in page.words
        page = await browser.send(page, action, 400, new="short", repeated="short")
        assert "at least 12" in page.words
        await hers.get("/account")
        page = await browser.send(page, action, new=NEW, repeated=NEW)
        assert "The password is set, and the user is signed out everywhere." in page.words
        assert (await hers.client.get("/account")).status_code == 303
        stored = select(schema.user.c.password_hash).where(schema.user.c.name == "ida")
        assert users.password_matches(census.row(stored)[0], NEW)
        assert NEW.strip() not in str(census.rows(select(schema.audit)))
        assert "user.passwd" in actions(census, "user:adm")
        csrf = {"csrf": page.form("/sign-out").fields["csrf"][0]}
        wish = csrf | {"new": NEW, "repeated": NEW}
        assert (await browser.client.post("/users/nobody/password", data=wish)).status_code == 404
        # Neither one's own, for which the old one is asked, nor of who has theirs elsewhere.
        page = await browser.get("/users/adm")
        assert "/users/adm/password" not in [form.action for form in page.forms]
        response = await browser.client.post("/users/adm/password", data=wish)
        assert response.status_code == 409
        assert "your own password" in response.text
        number = census.row(select(schema.user.c.user_no).where(schema.user.c.name == "ida"))[0]
        with census.store.write() as connection:
            values = {"issuer": "https://sso.example.com", "subject": "9", "user_no": number}
            connection.execute(insert(oidc_account).values(created_ms=0, **values))
        page = await browser.get("/users/ida")
        assert action not in [form.action for form in page.forms]
        response = await browser.client.post(action, data=wish)
        assert response.status_code == 409
        assert "signs in at https://sso.example.com" in response.text
        assert (await browser.client.post(action, data=wish | {"csrf": ""})).status_code == 403
    async with signed_in(census, "ope", "operator") as browser:
        page = await browser.get("/account")
        wish |= {"csrf": page.form("/sign-out").fields["csrf"][0]}
        assert (await browser.client.post(action, data=wish)).status_code == 403


async def test_one_signs_out_at_one_other_browser_and_sees_where_one_signs_in(
    census: Census,
) -> None:
    async with signed_in(census, "sam", "viewer") as browser, signed_in(census, "sam") as other:
        number = census.row(select(schema.user.c.user_no).where(schema.user.c.name == "sam"))[0]
        with census.store.write() as connection:
            connection.execute(
                insert(oidc_account).values(
                    issuer="https://sso.example.com",
                    subject="1",
                    user_no=number,
                    created_ms=0,
                )
            )
        page = await browser.get("/account")
        assert "https://sso.example.com" in page.words
        assert "/account/password" not in [form.action for form in page.forms]
        (end,) = [form.action for form in page.forms if form.action.endswith("/end")]
        page = await browser.send(page, end)
        assert "You are signed out there." in page.words
        assert (await other.client.get("/account")).status_code == 303
        form = {"csrf": page.form("/sign-out").fields["csrf"][0]}
        assert (await browser.client.post(end, data=form)).status_code == 404
        assert "no session" in (await browser.client.post(end, data=form)).text


async def test_ones_api_token_is_shown_once_and_may_no_more_than_was_chosen(census: Census) -> None:
    async with signed_in(census, "tim", "viewer") as browser:
        page = await browser.get("/account")
        check_accessible(page)
        page = await browser.send(page, "/account/tokens", 400, name="cron", days="0")
        assert page.form("/account/tokens").fields["name"] == ["cron"]
        form = page.form("/account/tokens").fields | {
            "days": ["30"],
            "limited": ["yes"],
            "permissions": ["inventory.read"],
        }
        response = await browser.client.post("/account/tokens", data=form)
        assert response.status_code == 201
        assert response.headers["Cache-Control"] == "no-store"
        token = re.search(r'<pre id="token">(kcu_[^<]+)</pre>', response.text)
        assert token is not None
        page = await browser.get("/account")
        assert token[1] not in page.text
        assert "cron" in page.words
        header = {"Authorization": f"Bearer {token[1]}"}
        browser.client.cookies.clear()
        assert (await browser.client.get("/api/v1/hosts", headers=header)).status_code == 200
        assert (await browser.client.get("/api/v1/views", headers=header)).status_code == 403
    async with signed_in(census, "tim") as browser:
        page = await browser.get("/account")
        page = await browser.send(page, f"/account/tokens/{token[1].split('_')[1]}/revoke")
        assert "The token is revoked." in page.words
        # More than one has can't be given on.
        form = page.form("/account/tokens").fields | {
            "name": ["x"],
            "limited": ["yes"],
            "permissions": ["users.write"],
        }
        assert (await browser.client.post("/account/tokens", data=form)).status_code == 403


async def test_who_may_not_sees_no_users_and_strangers_text_stays_text(census: Census) -> None:
    async with signed_in(census, "opa", "operator") as browser:
        page = await browser.get("/account")
        assert "/users" not in page.links
        for address in ("/users", "/users/adm"):
            await browser.get(address, 403)
        for text in hostile.TEXTS:
            browser.client.headers["User-Agent"] = ascii(text)
            form = page.form("/account/tokens").fields | {"name": [text]}
            made = await browser.client.post("/account/tokens", data=form)
            assert made.status_code == 201
        check_inert(await browser.get("/account"))
    async with signed_in(census, "adm", "admin") as browser:
        for address in ("/users", "/users/opa"):
            page = await browser.get(address)
            check_inert(page)
            check_accessible(page)
