-- What users spent, and what is forecast of it. Row-level security: everybody has his own rows and no others.

create table public.transactions (
  id bigint generated always as identity primary key,
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  category text not null check (length(category) between 1 and 100),
  date date not null,
  amount numeric(12, 2) not null
);
-- The route reads a category page by page in this order.
create index transactions_by_day on public.transactions (user_id, category, date, id);

create table public.predictions (
  id bigint generated always as identity primary key,
  user_id uuid not null default auth.uid() references auth.users (id) on delete cascade,
  category text not null,
  date date not null,
  predicted_amount double precision not null,
  lower_bound double precision not null,
  upper_bound double precision not null,
  created_at timestamptz not null default now(),
  unique (user_id, category, date) -- a later forecast of a day takes the place of the earlier one
);

-- security_invoker: the caller's own policies hold, not those of the view's owner.
create view public.spending_categories with (security_invoker = true) as
  select category, count(*)::int as transactions, min(date) as first_date, max(date) as last_date
  from public.transactions
  group by category;

-- Whatever a project grants by default: nothing for callers who are not signed in, and no more than needed for those who are.
revoke all on public.transactions, public.predictions, public.spending_categories from anon, authenticated;
grant select, insert, update, delete on public.transactions to authenticated;
grant select, insert, update on public.predictions to authenticated;
grant select on public.spending_categories to authenticated;

alter table public.transactions enable row level security;
alter table public.predictions enable row level security;
-- "(select auth.uid())" is computed once a query, "auth.uid()" once a row.
create policy "own transactions" on public.transactions for all to authenticated
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
create policy "own predictions" on public.predictions for all to authenticated
  using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id);
