require 'json'

module Shop
  class Item
    attr_reader :name, :price

    def initialize(name, price)
      @name = name
      @price = price
    end

    def to_h
      { name: name, price: price }
    end
  end

  class Inventory
    include Enumerable

    def initialize
      @items = []
    end

    def <<(item)
      @items << item
      self
    end

    def each(&block)
      @items.each(&block)
    end
  end
end

inventory = Shop::Inventory.new
inventory << Shop::Item.new('apple', 1.2) << Shop::Item.new('pear', 0.8)
puts inventory.sort_by(&:price).map(&:to_h).to_json
