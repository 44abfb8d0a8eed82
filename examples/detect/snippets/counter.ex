defmodule Example.Counter do
  @moduledoc "Counts events by name."
  use GenServer

  def start_link(opts \\ []) do
    GenServer.start_link(__MODULE__, %{}, Keyword.put_new(opts, :name, __MODULE__))
  end

  def increment(name), do: GenServer.cast(__MODULE__, {:increment, name})
  def value(name), do: GenServer.call(__MODULE__, {:value, name})

  @impl true
  def init(state), do: {:ok, state}

  @impl true
  def handle_cast({:increment, name}, state) do
    {:noreply, Map.update(state, name, 1, &(&1 + 1))}
  end

  @impl true
  def handle_call({:value, name}, _from, state) do
    {:reply, Map.get(state, name, 0), state}
  end
end
